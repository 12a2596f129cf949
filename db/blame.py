"""Who set this value, when and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from db.runkeys import RevisionInfo, Runkeys


def blame_value(runkeys: Runkeys, name: str, path: str, key: str) -> RevisionInfo:
    """The revision that last changed one value of the object at `path` of the runkey `name`.

    `key`: `config:GlobalConfig.DiffTh1L`, `setpoints:DEMO:HV:L07:VSet`, `pixels:12,300` (column, row),
    `edge:rx`, `meta:vendor`, `serial:`, or a role alone. BadInput for a key that means nothing, NotFound.
    """
    raise NotImplementedError
