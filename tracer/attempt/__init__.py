"""Clamps tried by hand: declared as in a file, measured by the same engine, and not judged."""
