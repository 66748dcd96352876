"""How often the judging is wrong: planted circuits, true and false claims about them, and rates."""
