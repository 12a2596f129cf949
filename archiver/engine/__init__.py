"""The engine: Channel Access in, the write-ahead log and its segments out. A process of its own."""
