"""The ids that a model gave its tool calls, found for calls that run without `ToolSet`."""
