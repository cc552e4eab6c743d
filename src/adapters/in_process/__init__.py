"""Everything a single process needs to run Parley on its own: reply log, queue, cancellations, time and ids."""
