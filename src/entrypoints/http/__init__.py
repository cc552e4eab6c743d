"""The HTTP API, a module a capability, and the page."""
