"""Log records: one for each call that ended, and the trace ids on the application's own records."""
