"""Redis: what web processes and workers share while replies are written, and how they wake each other."""
