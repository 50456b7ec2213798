"""The policies: one file or one folder each, the same code for sync and async tools, without OpenTelemetry."""
