"""How the screens of runkeys lead to each other."""

from __future__ import annotations


def links(macros: dict[str, str], here: str) -> list[tuple[str, str, dict[str, str]]]:
    """The links that the screens of runkeys have to each other and to the top."""
    own = {name: macros[name] for name in ("P", "SUBSYSTEMS") if macros.get(name)}
    found = [("◀ Top", "top", {"SUBSYSTEMS": macros["SUBSYSTEMS"]})] if macros.get("SUBSYSTEMS") else []
    others = (("Browser", "runkey"), ("Panel", "runkey_panel"), ("FELIX", "felix"))
    return found + [(label, screen, own) for label, screen in others if screen != here]
