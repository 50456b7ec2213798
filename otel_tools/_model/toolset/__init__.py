"""`ToolSet`: runs the tool calls of a model and answers them."""
