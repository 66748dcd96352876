"""The Python interface: `load` and `run` hypotheses, or try things on one model in a `Session`."""
