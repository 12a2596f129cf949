"""What several tests of rules need."""

from __future__ import annotations

import pytest
import xmlschema

from iocs.alarm.files.xmlfile import SCHEMA


@pytest.fixture(scope="session")
def schema() -> xmlschema.XMLSchema:
    """Our schema in a validator that is not ours."""
    return xmlschema.XMLSchema(str(SCHEMA))
