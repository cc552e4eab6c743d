"""Knowledge: projects, their documents, how these are read in, and how passages of them are found."""
