"""The Redis store: keys, clients, Lua scripts, and what happens while the server is away."""
