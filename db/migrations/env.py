"""What Alembic runs: the migrations, on the connection that `db.migrations.upgrade` was given."""

from alembic import context
from sqlalchemy import Connection

from db.models import Base

connection = context.config.attributes.get("connection")
if not isinstance(connection, Connection):
    raise RuntimeError("the migrations run from db.migrations.upgrade, with a connection")

context.configure(connection=connection, target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
