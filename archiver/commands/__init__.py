"""The sub-commands of `owl archive`."""
