"""Author: write a hypothesis, check it, run it."""
