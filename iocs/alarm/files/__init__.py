"""Alarm files: Phoebus' XML, what it has no room for in TOML, and what an import would change."""
