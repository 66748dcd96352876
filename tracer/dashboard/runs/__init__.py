"""Runs: the list of runs, and the results of one."""
