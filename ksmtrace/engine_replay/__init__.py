"""A capture's decisions against the reference engine's: where ksmd of that kernel did what the engine would have done."""
