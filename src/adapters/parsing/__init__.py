"""Files of people's own as pieces of text: what a file is, its structure, and a process apart for what may do harm."""
