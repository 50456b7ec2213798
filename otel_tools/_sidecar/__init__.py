"""The sidecar without Docker: its programs, built, configured, supervised.

Nothing here touches OpenTelemetry: the sidecar is what receives.
"""
