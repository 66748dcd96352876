"""An attribution graph as data: pruned, scored, and in its file formats."""
