"""How Parley is reached: HTTP, the chat page and the command line, over one Application."""
