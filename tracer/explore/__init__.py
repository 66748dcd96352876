"""What a person does with a graph beside looking: search, follow links, group, ask one output."""
