"""The `tool` decorator and the `Tool` object that it attaches to a function."""
