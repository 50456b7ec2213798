"""Where a cache or a limit may live outside of the process: SQLite and Redis. Neither is imported unless asked for."""
