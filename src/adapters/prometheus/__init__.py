"""Metrics for Prometheus (https://prometheus.io): what is counted, across processes, and how it is shown."""
