"""The schema of a tool as sent to the model."""
