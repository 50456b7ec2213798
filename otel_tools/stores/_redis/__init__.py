"""`RedisStore` and its parts: cache operations, rate limits, clients, Lua scripts, health."""
