"""The dashboard: a folder for each page."""
