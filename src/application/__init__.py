"""What Parley does: a handler per command and query, behind ports that name no framework and no driver."""
