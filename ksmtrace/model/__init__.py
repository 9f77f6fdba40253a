"""ksmd's state, reconstructed from events, and the arithmetic that several analyzers share."""
