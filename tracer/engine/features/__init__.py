"""What a feature is: MLP neurons, or the features of a dictionary."""
