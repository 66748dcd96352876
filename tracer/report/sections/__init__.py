"""The parts of a report, a file for each."""
