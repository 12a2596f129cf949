"""The stand that all clients of the acceptance matrix share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from matrix_stand import Stand
from support import unique_prefix


@pytest.fixture(scope="session")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    made = Stand(tmp_path_factory.mktemp("clients"), unique_prefix())
    try:
        made.open()
        yield made
    finally:
        made.close()
