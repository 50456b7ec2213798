"""The sidecar: builds, configures and supervises its programs, or runs them with Docker.

Nothing here imports OpenTelemetry.
"""
