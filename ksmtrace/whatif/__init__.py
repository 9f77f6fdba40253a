"""What other tunables and other variants would have saved, when, and at what cost of scanning."""
