"""Writes the tables of docs/ that follow from the code: `make docs`."""
