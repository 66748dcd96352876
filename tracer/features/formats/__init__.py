"""One file per format in which dictionaries are published; each reads a folder."""
