"""IOCs, one folder per subsystem."""
