"""The archive on disk: a write-ahead log, Parquet segments, and their reader.

`StoreWriter` is the engine's side, `StoreReader` everybody else's. The folder's layout is in `archiver.store.files`.
"""

from archiver.store.files import StoreError
from archiver.store.group import Reader, StoreGroup, open_reader
from archiver.store.reader import StoreReader
from archiver.store.records import Columns
from archiver.store.samples import Channels, Dbr, PvInfo, PvTotals, Samples
from archiver.store.summary import Summary, combine, summarise
from archiver.store.writer import StoreWriter

__all__ = [
    "Channels",
    "Columns",
    "Dbr",
    "PvInfo",
    "PvTotals",
    "Reader",
    "Samples",
    "StoreError",
    "StoreGroup",
    "StoreReader",
    "StoreWriter",
    "Summary",
    "combine",
    "open_reader",
    "summarise",
]
