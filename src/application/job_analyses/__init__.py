"""Job analyses: what a job asks for, compared with what the documents show."""
