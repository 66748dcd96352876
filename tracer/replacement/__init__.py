"""The local replacement model of one prompt, and the graph that a sweep takes from it."""
