"""Interventions as two public tools write them, as a fragment of a hypothesis file."""
