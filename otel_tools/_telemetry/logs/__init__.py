"""Log records: one for the end of each call, and the trace ids on the application's own."""
