"""What KSM would save on this host once it is settled, from a look at the memory of processes."""
