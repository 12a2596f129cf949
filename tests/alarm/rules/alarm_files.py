"""Helpers of the tests of alarm files."""

from __future__ import annotations

from pathlib import Path

import pytest

from iocs.alarm.files.xmlfile import read_xml
from iocs.alarm.tree.items import ConfigError


def problems(content: bytes | Path, name: str = "A") -> list[str]:
    """What is wrong with a file that must be refused."""
    with pytest.raises(ConfigError) as caught:
        read_xml(content, name)
    return caught.value.problems


def config(inner: str) -> str:
    """A file; `inner` begins in line 2."""
    return f'<config name="A">\n{inner}\n</config>'
