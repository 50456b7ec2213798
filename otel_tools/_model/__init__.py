"""What the model sees: the parameters of a tool, its schema, its results."""
