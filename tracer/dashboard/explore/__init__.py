"""Explore: a graph, its nodes and their features."""
