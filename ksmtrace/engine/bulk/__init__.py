"""The accelerator: pages kept as NumPy columns, and thousands of them examined at once.

What it decides, counts and shows is what `ksmtrace.engine.ksm` would, page by page.
"""
