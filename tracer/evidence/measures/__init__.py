"""How each kind of expectation is judged."""
