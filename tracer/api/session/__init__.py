"""One open model, and what one tries on it from Python: asking, finding, clamping, graphs."""
