"""mm/ksm.c in Python, page by page: each function is named after its counterpart in the kernel."""
