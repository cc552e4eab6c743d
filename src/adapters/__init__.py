"""The ports, one folder a technology."""
