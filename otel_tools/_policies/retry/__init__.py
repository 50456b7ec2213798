"""The retry policy: which failures are repeated, and after which wait."""
