"""Workloads: their files, and runs of them on the reference engine and on this machine's kernel."""
