"""Arguments, results and messages as recorded: converted to JSON, redacted, cut."""
