"""Real processes with known memory, for the demo and for tests against a real kernel."""
