"""Statistics: what is counted, day by day, and what it adds up to."""
