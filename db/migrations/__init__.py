"""The versions of the tables (Alembic), run from the package itself: there is no alembic.ini.

A change of `db.models` needs a new file in `versions/`, written by hand for the three dialects; the tests compare what
the migrations make with the models. `REVISION` is the newest. `run` and `inside` serve other schemas, too.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, MetaData

REVISION = "0001"


def upgrade(connection: Connection, revision: str = REVISION) -> None:
    """Bring the tables to `revision`, in the transaction of `connection`."""
    from db.models import Base

    run(connection, revision, Path(__file__).parent, Base.metadata, "alembic_version")


def run(connection: Connection, revision: str, folder: Path, metadata: MetaData, versions: str) -> None:
    """Bring tables to a revision of the migrations in `folder`; the table `versions` keeps which one they have."""
    # a database that is up to date, which is nearly always, does not wait for the import
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes |= {"connection": connection, "metadata": metadata, "versions": versions}
    command.upgrade(config, revision)


def inside() -> None:
    """What `env.py` of such a folder does: the migrations, on the connection that `run` was given."""
    from alembic import context

    given = context.config.attributes
    connection = given.get("connection")
    if not isinstance(connection, Connection):
        raise RuntimeError("the migrations run from db.migrations.run, with a connection")
    context.configure(connection=connection, target_metadata=given["metadata"], version_table=given["versions"])
    with context.begin_transaction():
        context.run_migrations()
