"""The checks of ``otel-tools doctor``, in the order in which telemetry flows."""
