"""What is said of single PVs: getPVStatus, getPVTypeInfo, getPVDetails, getStoresForPV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from archiver.config import DEFAULT_PERIOD
from archiver.management.census import Snapshot, Status
from archiver.management.context import Context
from archiver.management.texts import human_time, human_times, iso_time, number, word
from archiver.retrieval.catalogue import type_name
from archiver.retrieval.query import unknown
from archiver.store import Dbr
from archiver.store.live import SCAN, UNKNOWN_TYPE, PvState
from archiver.store.order import NEVER

ONE_APPLIANCE = "appliance0"
"""What the appliance is called when its engine has no name."""
STREAM_FIELDS = ("HIHI", "HIGH", "LOW", "LOLO", "LOPR", "HOPR", "DRVH", "DRVL")
"""Fields that are kept beside every PV."""
TEXTS = ("Not being archived", "Initial sampling", "Being archived", "Paused")
"""What each Status is called."""
_NOT_ARCHIVED, _INITIAL, _ARCHIVED, _PAUSED = map(int, Status)
APPLIANCE_DOWN = "Appliance Down"


def appliance_of(census: Snapshot, row: int) -> str:
    """The engine of a PV, as an appliance."""
    number = int(census.engine[row])
    return (census.engines[number] if number >= 0 else "") or ONE_APPLIANCE


def statuses(census: Snapshot, names: Sequence[str]) -> list[dict[str, str]]:
    """getPVStatus: one item for each name, under the name that was asked for."""
    rows = [census.row.get(census.resolve(name), -1) for name in names]
    some = np.array([row for row in rows if row >= 0], np.int64)
    live = census.live[some]
    alive = census.alive().tolist()
    facts = zip(
        census.status[some].tolist(),
        census.engine[some].tolist(),
        *sampling_of(census, some),
        np.isin(live["state"], (PvState.CONNECTED, PvState.OFF)).tolist(),
        human_times(np.maximum(live["last_ns"], np.maximum(census.newest[some], 0))),
        human_times(live["first_connected_ns"]),
        human_times(np.where(live["losses"] > 0, live["connected_ns"], 0)),
        live["losses"].tolist(),
        strict=True,
    )
    items = []
    for name, row in zip(names, rows, strict=True):
        only = name.removesuffix(".VAL")
        if row < 0:
            items.append({"pvName": name, "pvNameOnly": only, "status": TEXTS[_NOT_ARCHIVED]})
            continue
        status, engine, method, period, connected, last, first, again, losses = next(facts)
        item = {"pvName": name, "pvNameOnly": only, "status": TEXTS[status]}
        if status in (_PAUSED, _ARCHIVED):
            item["appliance"] = (census.engines[engine] if engine >= 0 else "") or ONE_APPLIANCE
        if status == _ARCHIVED and engine >= 0 and not alive[engine]:
            item["status"] = APPLIANCE_DOWN
        elif status == _ARCHIVED:
            item |= {
                "isMonitored": "true" if method == "monitor" else "false",
                "samplingPeriod": repr(period),
                "connectionState": "true" if connected else "false",
                "lastEvent": last,
                "lastRotateLogs": "Never",
                "connectionFirstEstablished": first,
                "connectionLastRestablished": again,
                "connectionLossRegainCount": str(losses),
            }
        items.append(item)
    return items


def sampling_of(census: Snapshot, rows: np.ndarray) -> tuple[list[str], list[float]]:
    """`scan` or `monitor`, and the period in s, of each of these PVs: as its engine does it, or as was asked for."""
    live = census.live[rows]
    methods = np.where(live["method"] == SCAN, "scan", "monitor").tolist()
    given = np.round(live["period"].astype(np.float64), 6)
    periods = np.where(given > 0, given, DEFAULT_PERIOD).tolist()
    if not census.entries:
        return methods, periods
    # what was asked for lately an engine may not have taken in yet
    follows = (live["state"] > 0) & (live["requested_ns"] >= census.modified_ns[rows])
    for place in np.flatnonzero(~follows).tolist():
        entry = census.entries.get(census.names[rows[place]])
        if entry is not None:
            methods[place] = entry.method or methods[place]
            periods[place] = entry.period or periods[place]
    return methods, periods


def sampling(census: Snapshot, row: int) -> tuple[str, float]:
    """`sampling_of` one PV."""
    methods, periods = sampling_of(census, np.array([row]))
    return methods[0], periods[0]


def find_row(census: Snapshot, name: str) -> int:
    """The row of a PV that is archived or paused; 404 for others."""
    row = census.row.get(census.resolve(name), -1)
    if row < 0 or not census.status[row]:
        raise unknown(name)
    return row


def type_info(context: Context, census: Snapshot, row: int) -> dict[str, Any]:
    """getPVTypeInfo: what the appliance knows of a PV, all of it strings (and lists of them)."""
    name = census.names[row]
    live = census.live[row]
    info = context.reader.info(name)
    metadata = info.metadata if info is not None else {}
    dbr, array, count = _type(live, info)
    entry = census.entry(row)
    method, period = sampling(census, row)
    fields = entry.fields if entry is not None and entry.fields is not None else ()
    rate, byte_rate = float(live["rate"]), float(live["byte_rate"])
    extra = {
        "NAME": name,
        **{key: metadata[key] for key in ("RTYP", "ADEL", "MDEL", "SCAN", "DESC") if metadata.get(key)},
    }
    return {
        "pvName": name,
        "DBRType": type_name(dbr, array),
        "scalar": word(not array),
        "elementCount": str(count),
        "applianceIdentity": appliance_of(census, row),
        "chunkKey": f"{name.replace(':', '/').replace('-', '/')}:",
        "hostName": census.host(row),
        "samplingMethod": method.upper(),
        "samplingPeriod": number(period),
        "policyName": census.policy(row) or "Default",
        "paused": word(census.status[row] == Status.PAUSED),
        "creationTime": iso_time(int(census.created_ns[row])),
        "modificationTime": iso_time(int(census.modified_ns[row])),
        "precision": _float(metadata.get("PREC"), "0.0"),
        "units": metadata.get("EGU", ""),
        "lowerAlarmLimit": _float(metadata.get("LOLO")),
        "upperAlarmLimit": _float(metadata.get("HIHI")),
        "lowerWarningLimit": _float(metadata.get("LOW")),
        "upperWarningLimit": _float(metadata.get("HIGH")),
        "lowerCtrlLimit": _float(metadata.get("DRVL"), "0.0"),
        "upperCtrlLimit": _float(metadata.get("DRVH"), "0.0"),
        "lowerDisplayLimit": _float(metadata.get("LOPR"), "0.0"),
        "upperDisplayLimit": _float(metadata.get("HOPR"), "0.0"),
        "computedEventRate": number(round(rate, 6)),
        "computedStorageRate": number(round(byte_rate, 6)),
        "computedBytesPerEvent": str(round(byte_rate / rate)) if rate > 0 else "0",
        "userSpecifiedEventRate": "0.0",
        "hasReducedDataSet": "false",
        "usePVAccess": "false",
        "useDBEProperties": "false",
        "controllingPV": (entry.controlling if entry else None) or "",
        "deadband": number((entry.deadband if entry else None) or 0.0),
        "extraFields": extra,
        "archiveFields": list(dict.fromkeys((*STREAM_FIELDS, *fields))),
        "dataStores": list(stores(context).values()),
    }


def _type(live: np.void, info: Any) -> tuple[Dbr | None, bool, int]:
    if live["dbr"] != UNKNOWN_TYPE and live["count"]:
        return Dbr(int(live["dbr"])), bool(live["array"]), int(live["count"])
    if info is None:
        return None, False, 1
    return info.dbr, info.is_array, info.count


def _float(text: str | None, default: str = "NaN") -> str:
    try:
        return number(float(text)) if text else default
    except ValueError:
        return default


def stores(context: Context) -> dict[str, str]:
    """Where data lies, by the appliance's names for young, middle-aged and old."""
    tiers = context.config.tiers
    found = {}
    for store, tier, grain in (("STS", "minutes", "HOUR"), ("MTS", "days", "DAY"), ("LTS", "months", "MONTH")):
        place = getattr(tiers, tier).place or str(context.folder)
        root = place if "://" in place else str(context.folder / place)
        found[store] = f"parquet://localhost?name={store}&rootFolder={root}&partitionGranularity=PARTITION_{grain}"
    return found


def details(context: Context, census: Snapshot, asked: str) -> list[dict[str, str]]:
    """getPVDetails: names and values for people."""
    row = find_row(census, asked)
    info = type_info(context, census, row)
    live = census.live[row]
    name = info["pvName"]
    manage = [
        ("PV Name", name),
        ("Alias for ", name if asked in census.aliases else ""),
        ("Instance archiving PV", info["applianceIdentity"]),
        ("Archival params creation time:", human_time(int(census.created_ns[row]))),
        ("Archival params modification time:", human_time(int(census.modified_ns[row]))),
        ("Archiver DBR type (from typeinfo):", info["DBRType"]),
        ("Is this a scalar:", "Yes" if info["scalar"] == "true" else "No"),
        ("Number of elements:", info["elementCount"]),
        ("Precision:", info["precision"]),
        ("Units:", info["units"]),
        ("Is this PV paused:", "Yes" if info["paused"] == "true" else "No"),
        ("Sampling method:", info["samplingMethod"]),
        ("Sampling period:", info["samplingPeriod"]),
        ("Are we using PVAccess?", "No"),
        ("Policy:", info["policyName"]),
        *((f"Extra info - {key}:", value) for key, value in info["extraFields"].items()),
        ("Archive Fields", ",".join(info["archiveFields"])),
        *((f"Alias {number}:", alias) for number, alias in enumerate(census.by_pv.get(name, ()), 1)),
    ]
    lost = {key: int(live[f"dropped_{key}"]) for key in ("time", "overflow", "type")}
    engine = [
        ("Channel Name", name),
        ("Host name", info["hostName"] or "N/A"),
        ("Controlling PV", info["controllingPV"]),
        (
            "Is engine currently archiving this?",
            _yes(live["state"] in (PvState.CONNECTING, PvState.CONNECTED, PvState.DISCONNECTED)),
        ),
        ("Archiver DBR type (initial)", info["DBRType"]),
        ("Is engine using monitors?", _yes(live["method"] != SCAN)),
        ("What's the engine's sampling period?", info["samplingPeriod"]),
        ("Is this PV currently connected?", _yes(live["state"] in (PvState.CONNECTED, PvState.OFF))),
        ("When did we receive the last event?", human_time(int(live["last_ns"]))),
        ("When did we first establish connection to this PV?", human_time(int(live["first_connected_ns"]))),
        ("When did we last lose and reestablish connection to this PV?", human_time(int(live["lost_ns"]))),
        ("How many times have we lost and regained the connection to this PV?", str(int(live["losses"]))),
        ("How many events so far?", str(int(live["events"]))),
        ("How many raw scan events so far?", str(int(live["events"]) if live["method"] == SCAN else 0)),
        ("How many events lost because the timestamp is in the far future or past so far?", str(lost["time"])),
        ("How many events lost because the sample buffer is full so far?", str(lost["overflow"])),
        ("How many events lost because the DBR_Type of the PV has changed from what it used to be?", str(lost["type"])),
        ("How many events lost totally so far?", str(sum(lost.values()))),
        ("How many events were left out by the sampling period so far?", str(int(live["dropped_scan"]))),
        ("How many events were left out by the dead-band so far?", str(int(live["dropped_deadband"]))),
        ("Sample buffer capacity", "shared"),
        ("What did we last push the data to the short term store?", human_time(_stored_ns(census, row))),
    ]
    totals = context.reader.infos([name])
    store = [
        ("Samples in the archive", str(totals[0].samples if totals else 0)),
        ("Bytes in the archive (estimate)", str(totals[0].bytes if totals else 0)),
        ("Oldest sample", human_time((totals[0].first_ns or 0) if totals else 0)),
        ("Newest sample", human_time((totals[0].last_ns or 0) if totals else 0)),
    ]
    return [
        {"name": key, "value": value, "source": source}
        for source, rows in (("mgmt", manage), ("engine", engine), ("etl", store))
        for key, value in rows
    ]


def _stored_ns(census: Snapshot, row: int) -> int:
    newest = int(census.newest[row])
    return 0 if newest == NEVER else newest


def _yes(value: object) -> str:
    return "Yes" if value else "No"
