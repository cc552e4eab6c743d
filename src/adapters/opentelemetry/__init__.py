"""Traces over OTLP (https://opentelemetry.io), configured by the standard's own OTEL_* variables."""
