"""What counts as evidence: judging reads measurements only, never a model."""
