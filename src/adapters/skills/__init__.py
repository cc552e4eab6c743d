"""Skills: a vocabulary, the rules that find it in a text, and a model asked for the same."""
