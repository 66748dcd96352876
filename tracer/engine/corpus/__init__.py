"""Texts that a model reads by the window: to train dictionaries on, to judge and to describe them.

Files become passages (`passages`, without torch), passages become windows of tokens (`windows`).
"""
