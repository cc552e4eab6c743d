"""RQ (https://python-rq.org) wakes the workers: its queue, its registries, and a worker of many replies at once."""
