"""The stream of events as text: one line an event, by the kernel's function names."""
