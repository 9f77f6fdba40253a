"""Reads this host: KSM's sysfs files, /proc, symbols, BTF. The root directory is an argument."""
