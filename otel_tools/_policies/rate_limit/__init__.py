"""The rate limit policy: attempts in a time."""
