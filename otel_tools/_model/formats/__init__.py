"""Tool calls and answers in the form of each vendor's API."""
