"""What a large installation needs: engines, bandwidth, bytes and cost, computed from figures that were measured.

    python benchmarks/archive_scale.py                         1,000,000 PVs at 1 Hz
    python benchmarks/archive_scale.py --pvs 2e5 --rate 0.1    another one

The measured figures are the defaults of the options below; docs/explanation/performance.md says how each was measured.
Prices are assumptions: give your own.
"""

from __future__ import annotations

import argparse
import math

WIRE_EVENT = 40
"""Bytes of an event of a DBR_TIME_DOUBLE scalar: header of 16, status, time stamp and value of 24 (CA protocol)."""
WIRE_FULL = 1538 / 1460
"""Bytes on an Ethernet wire for a byte of TCP payload, in full frames."""
LOG_SAMPLE = 23
"""Bytes of a double in the log: number 4, time 8, severity 1, status 2, value 8."""
DAY = 86400


def main() -> int:
    """Compute and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pvs", type=float, default=1e6)
    parser.add_argument("--rate", type=float, default=1.0, help="events/s of a PV")
    parser.add_argument("--bytes", type=float, default=4.0, help="a sample, merged: 2.3 constant, 8 noise in all bits")
    parser.add_argument("--engine-pvs", type=float, default=250_000, help="PVs of an engine")
    parser.add_argument("--event-us", type=float, default=1.0, help="CPU of an event, segments included")
    parser.add_argument("--merge-rate", type=float, default=4.7e6, help="samples/s that a core merges")
    parser.add_argument("--passes", type=float, default=3.0, help="merges of a sample: in its day, to days, to months")
    parser.add_argument("--pv-kib", type=float, default=7.5, help="memory of a PV in its engine")
    parser.add_argument("--connect-rate", type=float, default=7000, help="PVs that an engine connects in a second")
    parser.add_argument("--fresh-days", type=float, default=35, help="days on flash, before months go elsewhere")
    parser.add_argument("--flash-price", type=float, default=100, help="of a TB of flash, bought")
    parser.add_argument("--disk-price", type=float, default=20, help="of a TB of disk, bought")
    parser.add_argument("--store-price", type=float, default=22, help="of a TB in a rented object store, a month")
    o = parser.parse_args()
    events = o.pvs * o.rate
    engines = max(1, math.ceil(o.pvs / o.engine_pvs))
    day_tb = events * DAY * o.bytes / 1e12
    written = LOG_SAMPLE + o.bytes * (1 + o.passes)
    wire = events * WIRE_EVENT * WIRE_FULL * 8 / 1e6
    rows = [
        ("events", f"{events:,.0f}/s", f"{events / engines:,.0f}/s"),
        ("network, from the IOCs", f"{wire:,.0f} Mbit/s", f"{wire / engines:,.0f} Mbit/s"),
        ("CPU: receive, log, segments", cores(events * o.event_us / 1e6), cores(events / engines * o.event_us / 1e6)),
        ("CPU: merges", cores(events * o.passes / o.merge_rate), cores(events / engines * o.passes / o.merge_rate)),
        ("memory", gib(o.pvs * o.pv_kib), gib(o.pvs / engines * o.pv_kib)),
        ("all connected after a start", "", f"{o.pvs / engines / o.connect_rate:,.0f} s"),
        ("written to flash", rate(events * written), rate(events / engines * written)),
        ("samples a day", f"{events * DAY / 1e9:,.1f} G", f"{events / engines * DAY / 1e9:,.1f} G"),
        ("bytes a day, merged", f"{day_tb * 1000:,.0f} GB", f"{day_tb * 1000 / engines:,.0f} GB"),
        (f"flash for {o.fresh_days:g} days", tb(day_tb * o.fresh_days), tb(day_tb * o.fresh_days / engines)),
        ("bytes a year", tb(day_tb * 365), tb(day_tb * 365 / engines)),
        ("flash, twice, bought", price(2 * day_tb * o.fresh_days * o.flash_price), ""),
        ("a year on disks, twice, bought", price(2 * day_tb * 365 * o.disk_price), ""),
        ("a year in a rented store, each month", price(day_tb * 365 * o.store_price), ""),
    ]
    print(f"{o.pvs:,.0f} PVs at {o.rate:g} Hz, {o.bytes:g} bytes a sample, {engines} engines")
    print(f"{'':<38} {'all':>14} {'an engine':>14}")
    for what, whole, one in rows:
        print(f"{what:<38} {whole:>14} {one:>14}")
    return 0


def cores(number: float) -> str:
    """Part of a core."""
    return f"{number:.2f} cores"


def gib(kib: float) -> str:
    """KiB as GiB."""
    return f"{kib / 2**20:,.1f} GiB"


def rate(number: float) -> str:
    """Bytes a second."""
    return f"{number / 1e6:,.0f} MB/s"


def tb(number: float) -> str:
    """TB."""
    return f"{number:,.2f} TB"


def price(number: float) -> str:
    """Money, in whatever unit the prices have."""
    return f"{number:,.0f}"


if __name__ == "__main__":
    raise SystemExit(main())
