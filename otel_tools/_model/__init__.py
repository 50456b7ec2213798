"""The model: its tool calls in, the answers out; `ToolSet`, the loop, and call ids."""
