"""What was observed: the record of a run and its folder."""
