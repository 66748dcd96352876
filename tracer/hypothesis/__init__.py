"""The declared side: what a file says, and whether it can be meant."""
