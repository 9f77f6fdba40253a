"""Generators and checks of this repository, not in the product: `python -m tools.NAME`."""
