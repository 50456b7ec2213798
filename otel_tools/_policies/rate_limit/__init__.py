"""The rate limit policy: limits how many attempts start per period."""
