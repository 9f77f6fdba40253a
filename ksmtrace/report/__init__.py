"""The report of a run: as text, and as one page of HTML that loads nothing."""
