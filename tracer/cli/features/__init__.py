"""`tracer features`: what features are, and its sub-commands."""
