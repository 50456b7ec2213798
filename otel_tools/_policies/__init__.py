"""2. What decides: one file each, written once for sync and async, knowing nothing of OpenTelemetry."""
