"""How telemetry leaves the process: `configure()`, the SDK's providers, delivery."""
