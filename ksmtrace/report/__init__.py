"""A run told for people: as text, and as one page of HTML that needs nothing else."""
