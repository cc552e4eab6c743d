"""What tools run on: the built-in one, plugins of other packages, and JSON Schema."""
