"""A vectorised Channel Access client."""
