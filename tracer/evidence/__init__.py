"""What is judged, from measurements only: never a model."""
