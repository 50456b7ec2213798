"""3. What is seen: every name, the span of a call, its metrics, its content, and how it all leaves the process."""
