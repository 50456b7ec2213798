"""What ``otel-tools doctor`` looks at, in the order of the data's way."""
