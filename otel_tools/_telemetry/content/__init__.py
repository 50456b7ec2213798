"""Recorded arguments, results and messages: converted to JSON, redacted, cut."""
