"""UKSM, Ultra KSM (the public patch for 5.17, release 0.1.2.6), function by function."""
