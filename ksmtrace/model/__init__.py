"""ksmd's state as events tell it: what analyzers read and what is checked against the kernel."""
