"""What is declared: what a file says, and whether it can be meant."""
