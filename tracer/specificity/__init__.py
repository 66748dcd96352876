"""Is what a hypothesis ablates special to its own task? Each against every other's prompts."""
