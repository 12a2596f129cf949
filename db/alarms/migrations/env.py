"""What Alembic runs."""

from db.migrations import inside

inside()
