"""owlshift: an EPICS control system for detector test stands and small experiments."""

__version__ = "0.1.0"
