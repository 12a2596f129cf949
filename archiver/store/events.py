"""Connection events: what the store keeps of when a PV, or the engine itself, was not there."""

from __future__ import annotations

ENGINE_PV = 0
"""The PV id under which the engine's own starts and stops are kept."""

LOST, CONNECTED, STOPPED, STARTED, REMOVED = range(5)
"""Codes of events: the first two and the last are a PV's, the others the engine's."""

EVENT_NAMES = {
    LOST: "disconnected",
    CONNECTED: "connected",
    STOPPED: "engine stopped",
    STARTED: "engine started",
    REMOVED: "removed",
}
