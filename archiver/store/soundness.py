"""What is wrong with one segment: its files are read in full and compared with the manifest and the index."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from archiver.store.checksums import sha256, sidecar_problem
from archiver.store.files import Layout
from archiver.store.manifest import Segment
from archiver.store.merge import load_index
from archiver.store.order import NEVER
from archiver.store.rebuild import DAMAGE
from archiver.store.segment import EVENTS_KIND


def problem_of(layout: Layout, segment: Segment, sidecars: bool = True) -> str | None:
    """What is wrong with a segment's files, read in full; None for nothing. PlaceError when its place is away."""
    place = layout.place_of(segment)
    try:
        size = place.size(segment.name)
        if size != segment.bytes:
            return f"it has {size} bytes instead of {segment.bytes}"
        if segment.checksum and sha256(place.chunks(segment.name)) != segment.checksum:
            return "its checksum is wrong"
        if sidecars:
            for ending, _, checksum in segment.sidecars:
                if why := sidecar_problem(place, segment, ending):
                    return f"its {ending[1:]}: {why}"
                if sha256(place.chunks(segment.stem + ending)) != checksum:
                    return f"its {ending[1:]} has a wrong checksum"
            index = load_index(layout, segment)
        else:
            index = None
        return content_problem(layout, segment, index)
    except FileNotFoundError:
        return "it is missing"
    except (OSError, *DAMAGE) as error:
        return f"it can't be read: {str(error).splitlines()[0] if str(error) else type(error).__name__}"


def content_problem(layout: Layout, segment: Segment, index: np.ndarray | None) -> str | None:
    """Compare rows, PVs, order and times in a Parquet file with what the manifest and the index say."""
    by_start = np.sort(index, order="start") if index is not None else None
    place, last_time, last_name, run = 0, NEVER, None, 0
    oldest, newest = np.iinfo(np.int64).max, NEVER
    with layout.place_of(segment).open(segment.name) as handle, pq.ParquetFile(handle) as file:
        if file.metadata.num_rows != segment.rows:
            return f"it has {file.metadata.num_rows} rows instead of {segment.rows}"
        for group in range(file.metadata.num_row_groups):
            table = file.read_row_group(group)
            times = table.column("time").combine_chunks().cast(pa.int64()).to_numpy()
            pv = table.column("pv").combine_chunks()
            pv = pv if isinstance(pv, pa.Array) else pv.chunk(0)
            pv = pv if isinstance(pv, pa.DictionaryArray) else pv.dictionary_encode()
            codes, texts = pv.indices.to_numpy(), pv.dictionary.to_pylist()
            if not len(codes):
                continue
            oldest, newest = min(oldest, int(times.min())), max(newest, int(times.max()))
            new = np.concatenate(([True], codes[1:] != codes[:-1]))
            new[0] = texts[codes[0]] != last_name
            back = np.concatenate(([int(times[0]) <= last_time], times[1:] <= times[:-1])) & ~new
            if segment.kind == EVENTS_KIND:
                back = np.concatenate(([int(times[0]) < last_time], times[1:] < times[:-1])) & ~new
            if back.any():
                return f"the times of {texts[codes[int(np.flatnonzero(back)[0])]]} don't ascend in it"
            if by_start is not None:
                for start in (np.flatnonzero(new) + place).tolist():
                    if run >= len(by_start) or int(by_start["start"][run]) != start:
                        return f"its index doesn't say that {texts[codes[start - place]]} begins at row {start}"
                    run += 1
            last_time, last_name = int(times[-1]), texts[codes[-1]]
            place += len(codes)
    if by_start is not None and run != len(by_start):
        return f"its index names {len(by_start)} PVs, and it has {run}"
    if segment.rows and (oldest, newest) != (segment.oldest, segment.newest):
        return f"its times go from {oldest} to {newest}, not from {segment.oldest} to {segment.newest}"
    return None
