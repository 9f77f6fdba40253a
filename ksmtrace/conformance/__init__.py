"""Compares the decisions of a kernel's ksmd, as a capture shows them, with the engine's."""
