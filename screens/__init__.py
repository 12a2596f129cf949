"""PyDM screens."""
