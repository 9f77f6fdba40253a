"""Workload files, and real processes that carry them out on this machine's kernel."""
