"""What makes and checks this repository and is no part of the product: run as `python -m tools.NAME`."""
