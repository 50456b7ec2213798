"""What a tool may be called with, and what is wrong with the arguments of a call."""
