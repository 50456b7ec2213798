"""Telemetry of calls through the OpenTelemetry API: names, spans, metrics, content and logs."""
