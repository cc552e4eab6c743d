"""What operators write in TOML files."""
