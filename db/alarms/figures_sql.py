"""The questions that the figures ask of the log, in SQL of all three dialects.

An alarm is *up* while its effective state is Active, ActiveOffDelayed or Acknowledged; it *stands* while it is that or
ActiveLatched. A row in which that changes is an edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection

from db.alarms.search import area_condition
from db.rows import batches, fetch

MINUTE = 60 * 1_000_000_000
DAY = 24 * 60 * MINUTE
CHATTER = 3
"""Times within a minute that an alarm comes when it chatters."""
UP = "IN (1, 3, 10)"
STANDS = "IN (1, 2, 3, 10)"
_ACK = (
    "severity_before >= 5 AND (severity BETWEEN 1 AND 4 "
    # a latched alarm whose PV is well again is gone once somebody acknowledges it
    "OR (severity = 0 AND effective_before = 2 AND effective = 0))"
)
_RAISED = "severity >= 5 AND severity_before < 5"


def _edge(state: str) -> str:
    # the first condition is what most rows fail
    return (
        f"effective <> effective_before AND (effective {state} AND NOT effective_before {state} "
        f"OR effective_before {state} AND NOT effective {state})"
    )


class Reader:
    """Asks for one time range, and for an area or for everything."""

    def __init__(self, connection: Connection, since_ns: int, until_ns: int, area: str | None) -> None:
        self._connection = connection
        self._dialect = connection.dialect.name
        self._values: dict[str, Any] = {"since": since_ns, "until": until_ns}
        self._until = until_ns
        self._sources = ""
        if area:
            condition, values = area_condition(area, self._dialect)
            self._sources = f"WHERE {condition}"
            self._values |= values
        self._area = f" AND source IN (SELECT s.id FROM alarm_source s {self._sources})" if area else ""
        self._range = f"time_ns >= :since AND time_ns < :until{self._area}"

    def _ask(self, sql: str, **more: Any) -> list[Sequence[Any]]:
        used = {name: value for name, value in (self._values | more).items() if f":{name}" in sql}
        return fetch(self._connection, sql, **used)

    def buckets(self, width: int) -> list[tuple[int, int]]:
        """(number of a time span of `width` ns, alarms raised in it); not those without."""
        divide = "DIV" if self._dialect not in ("sqlite", "postgresql") else "/"
        sql = (
            f"SELECT (time_ns - :since) {divide} {width} AS place, COUNT(*) FROM alarm_event "
            f"WHERE raised = 1 AND {self._range} GROUP BY place"
        )
        return [(int(place), count) for place, count in self._ask(sql)]

    def top(self, most: int) -> list[tuple[str, str, str, int]]:
        """(path, PV, area, times) of the alarms raised most often."""
        sql = (
            f"SELECT source, COUNT(*) AS times FROM alarm_event WHERE raised = 1 AND {self._range} "
            f"GROUP BY source ORDER BY times DESC, source LIMIT {most}"
        )
        return self.named([(source, times) for source, times in self._ask(sql)])

    def areas(self, most: int) -> list[tuple[str, int]]:
        """(area, alarms raised directly in it), most first."""
        sql = (
            "SELECT s.area, SUM(e.times) AS all_times FROM "
            f"(SELECT source, COUNT(*) AS times FROM alarm_event WHERE raised = 1 AND {self._range} GROUP BY source) e "
            f"JOIN alarm_source s ON s.id = e.source GROUP BY s.area ORDER BY all_times DESC, s.area LIMIT {most}"
        )
        return [(area, int(times)) for area, times in self._ask(sql)]

    def priorities(self) -> list[tuple[int, int]]:
        """(priority, alarms raised)."""
        sql = f"SELECT priority, COUNT(*) FROM alarm_event WHERE raised = 1 AND {self._range} GROUP BY priority"
        return [(priority, times) for priority, times in self._ask(sql)]

    def acts(self) -> list[tuple[str, str, int]]:
        """(kind, person, times) of all that is no transition and no announcement."""
        sql = (
            "SELECT kind, person, COUNT(*) FROM alarm_event WHERE kind <> 'transition' AND kind <> 'announce' "
            f"AND {self._range} GROUP BY kind, person"
        )
        return [(kind, person, times) for kind, person, times in self._ask(sql)]

    def short(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """(source, times) of alarms that came so often within a minute, and of others that were gone within one."""
        order = "PARTITION BY source ORDER BY time_ns"
        frame = f"{order} RANGE BETWEEN {MINUTE} PRECEDING AND CURRENT ROW"
        # MariaDB wants no frame for LEAD; to SQLite two windows are two sorts
        lead = "v" if self._dialect not in ("sqlite", "postgresql") else "w"
        sql = (
            "SELECT source, SUM(chatters) AS c, SUM(fleeting) AS f FROM ("
            f"SELECT source, CASE WHEN up = 1 AND SUM(up) OVER w >= {CHATTER} THEN 1 ELSE 0 END AS chatters, "
            f"CASE WHEN up = 1 AND LEAD(up) OVER {lead} = 0 AND LEAD(time_ns) OVER {lead} - time_ns <= {MINUTE} "
            "THEN 1 ELSE 0 END AS fleeting FROM ("
            f"SELECT source, time_ns, CASE WHEN effective {UP} THEN 1 ELSE 0 END AS up FROM alarm_event "
            f"WHERE {_edge(UP)} AND {self._range}) edges WINDOW w AS ({frame}), v AS ({order})) each_edge "
            "GROUP BY source HAVING SUM(chatters) > 0 OR SUM(fleeting) > 0"
        )
        rows = [(source, int(chatters), int(fleeting)) for source, chatters, fleeting in self._ask(sql)]
        chattering = [(source, chatters) for source, chatters, _ in rows if chatters]
        others = [(source, fleeting) for source, chatters, fleeting in rows if not chatters]
        return sorted(chattering, key=_most), sorted(others, key=_most)

    def stale(self, most: int) -> tuple[list[tuple[str, str, int, int | None]], int]:
        """(path, PV, begin, end or None) of what stood for more than a day, longest first; how many alarms did."""
        condition = f"e.source = s.id AND e.time_ns < :since AND {_edge(STANDS)}"
        sql = (
            "WITH edges AS ("
            f"SELECT source, time_ns, id, CASE WHEN effective {STANDS} THEN 1 ELSE 0 END AS stands FROM alarm_event "
            f"WHERE {_edge(STANDS)} AND {self._range} "
            "UNION ALL SELECT source, begun, '', 1 FROM ("
            f"SELECT s.id AS source, (SELECT CASE WHEN effective {STANDS} THEN e.time_ns END FROM alarm_event e "
            f"WHERE {condition} ORDER BY e.time_ns DESC, e.id DESC LIMIT 1) AS begun "
            f"FROM alarm_source s {self._sources}) stood WHERE begun IS NOT NULL) "
            "SELECT source, time_ns, finish FROM ("
            "SELECT source, time_ns, stands, LEAD(time_ns) OVER (PARTITION BY source ORDER BY time_ns, id) AS finish "
            f"FROM edges) spans WHERE stands = 1 AND COALESCE(finish, :until) - time_ns > {DAY} "
        )
        rows = self._ask(sql)
        longest = sorted(rows, key=lambda row: (row[1] - (row[2] or self._until), row[0]))
        names = {source: (path, pv) for source, path, pv, _ in self._names(row[0] for row in longest[:most])}
        found = [(*names[source], begin, end) for source, begin, end in longest[:most]]
        return found, len({row[0] for row in rows})

    def waits(self) -> list[int]:
        """Nanoseconds from when an alarm was raised until it was acknowledged; both in the range."""
        sql = (
            "SELECT wait FROM (SELECT acked, LAG(acked) OVER w AS was, time_ns - LAG(time_ns) OVER w AS wait FROM ("
            f"SELECT source, time_ns, id, CASE WHEN {_RAISED} THEN 0 ELSE 1 END AS acked FROM alarm_event "
            f"WHERE kind = 'transition' AND ({_RAISED} OR {_ACK}) AND {self._range}) chosen "
            "WINDOW w AS (PARTITION BY source ORDER BY time_ns, id)) each_one WHERE acked = 1 AND was = 0"
        )
        return [row[0] for row in self._ask(sql)]

    def named(self, counted: Sequence[tuple[int, int]]) -> list[tuple[str, str, str, int]]:
        """(path, PV, area, times) of sources, in their order."""
        names = {source: (path, pv, area) for source, path, pv, area in self._names(source for source, _ in counted)}
        return [(*names[source], times) for source, times in counted]

    def _names(self, sources: Iterable[int]) -> Iterable[tuple[int, str, str, str]]:
        for batch in batches(set(sources)):
            ids = ", ".join(str(int(source)) for source in batch)
            sql = f"SELECT id, path, pv, area FROM alarm_source WHERE id IN ({ids})"
            yield from ((id_, path, pv, area) for id_, path, pv, area in fetch(self._connection, sql))


def _most(counted: tuple[int, int]) -> tuple[int, int]:
    return -counted[1], counted[0]
