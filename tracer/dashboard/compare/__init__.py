"""Compare: two runs, or two graphs."""
