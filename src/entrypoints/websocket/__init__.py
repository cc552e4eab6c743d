"""WebSockets: one connection, and all those of a process."""
