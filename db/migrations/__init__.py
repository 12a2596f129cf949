"""The versions of the tables (Alembic), run from the package itself: there is no alembic.ini.

A change of `db.models` needs a new file in `versions/`, written by hand for the three dialects; the tests compare what
the migrations make with the models. `REVISION` is the newest.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

REVISION = "0001"


def upgrade(connection: Connection, revision: str = REVISION) -> None:
    """Bring the tables to `revision`, in the transaction of `connection`."""
    # a database that is up to date, which is nearly always, does not wait for the import
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
