"""Everything that reads this host: KSM's sysfs files, /proc, symbols, BTF. Roots are arguments."""
