"""Language models: where weights come from, and the model as the engine sees it."""
