"""The circuit breaker policy: stops calling a tool that keeps failing."""
