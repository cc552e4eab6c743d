"""Any server that speaks OpenAI's wire."""
