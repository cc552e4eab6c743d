"""Stand-ins that obey the same contract suites as the real adapters."""
