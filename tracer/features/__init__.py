"""Feature bases: what a feature is, behind one interface."""
