"""The archive as SQL sees it: DuckDB here, and the statements for engines elsewhere that read the same files."""
