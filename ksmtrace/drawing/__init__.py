"""Draws sections as text: tables and charts of characters, for the screen and the text report."""
