"""The cache of blocks of object stores, as several processes share it."""

from __future__ import annotations

from pathlib import Path

from archiver.store.cache import BLOCK, BlockCache


def test_processes_that_share_a_cache_keep_to_its_size_together(tmp_path: Path) -> None:
    caches = [BlockCache(tmp_path, 16 * BLOCK) for _ in range(4)]
    for number in range(12):
        for which, cache in enumerate(caches):
            (block,) = cache.get(f"file {which} {number}", 0, 0, BLOCK, lambda start, end: bytes(end - start))
            assert len(block) == BLOCK
    stored = sum(path.stat().st_size for path in tmp_path.glob("??/*"))
    # each may be ahead of what it knows of the others by what is written between two looks
    assert stored <= 16 * BLOCK * 1.6
    assert stored >= 10 * BLOCK


def test_what_was_used_last_stays(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path, 16 * BLOCK)
    fetched: list[str] = []

    def get(name: str) -> None:
        def fetch(start: int, end: int) -> bytes:
            fetched.append(name)
            return bytes(end - start)

        cache.get(name, 0, 0, BLOCK, fetch)

    for number in range(100):
        get("always")
        get(f"{number}")
    assert fetched.count("always") == 1
