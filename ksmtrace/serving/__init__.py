"""Serves finished pages over HTTP, from a process of its own that has no privileges."""
