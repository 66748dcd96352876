"""Runs: what there is, and what came out."""
