"""Everything a single process needs to run Parley on its own: reply log, queue, signals, time and ids."""
