"""Samples out of the archive into files of other programs, and out of other archives into this one."""
