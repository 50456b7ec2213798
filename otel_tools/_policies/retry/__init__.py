"""The retry policy: which failures are tried again, and when."""
