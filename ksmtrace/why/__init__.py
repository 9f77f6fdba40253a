"""Why the pages of a process do not merge, page by page, and what makes them differ."""
