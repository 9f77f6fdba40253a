"""Sections drawn as text, for the screen and for the text report."""
