"""Runs the batches of a source through the plugins' hooks, and keeps the run's state."""
