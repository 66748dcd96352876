"""Claims that are declared as one object: a file for each kind."""
