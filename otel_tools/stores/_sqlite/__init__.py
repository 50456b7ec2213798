"""`SQLiteStore` and its connection to the file."""
