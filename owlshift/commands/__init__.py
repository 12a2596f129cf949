"""The framework's own `owl` sub-commands."""
