"""Declarative experiments on the inside of language models."""
