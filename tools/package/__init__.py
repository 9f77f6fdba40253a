"""What packages are made of besides the code: man pages, completions, and the packages."""
