"""Compares what ksmd of a kernel decided, by its capture, with what the reference engine would do."""
