"""The archive on disk: a write-ahead log, Parquet segments, and their reader.

`StoreWriter` is the engine's side, `StoreReader` everybody else's. The folder's layout is in `archiver.store.files`.
"""

from archiver.store.files import StoreError
from archiver.store.reader import StoreReader
from archiver.store.records import Columns
from archiver.store.samples import Dbr, PvInfo, Samples
from archiver.store.writer import StoreWriter

__all__ = ["Columns", "Dbr", "PvInfo", "Samples", "StoreError", "StoreReader", "StoreWriter"]
