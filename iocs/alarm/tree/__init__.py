"""The alarm tree: Phoebus' logic, suppression, and what is told of each change. No I/O."""
