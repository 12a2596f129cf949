"""The configuration of a stand in SQL: runkeys, their trees of objects, payloads by hash."""
