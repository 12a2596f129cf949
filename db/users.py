"""Users and what they may do. While there are no users, everybody may do everything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, exists, func, insert, select, update

from db.audit import record
from db.errors import BadInput, Exists, Forbidden, NotFound
from db.models import User, UserRole
from db.who import Who

ROLES = ("observer", "operator", "expert", "admin")
"""Each may do what those before it may."""


@dataclass(frozen=True, slots=True)
class UserInfo:
    """One user; `roles` in the order of `ROLES`."""

    name: str
    full_name: str
    roles: tuple[str, ...]
    disabled: bool
    created: datetime


def require(connection: Connection, who: Who, role: str) -> None:
    """Forbidden, with the reason, unless `who` has `role` or a higher one, or there are no users at all."""
    needed = _rank(role)
    user = connection.execute(select(User.disabled).where(User.name == who.user)).one_or_none()
    if user is None:
        if connection.execute(select(~exists(select(User.name)))).scalar():
            return
        raise Forbidden(f"{who.user} is no user of this database; {role} is needed (an admin: owl runkey user add)")
    if user.disabled:
        raise Forbidden(f"the user {who.user} is disabled")
    roles = list(connection.execute(select(UserRole.role).where(UserRole.user == who.user)).scalars())
    if max((ROLES.index(r) for r in roles if r in ROLES), default=-1) < needed:
        raise Forbidden(f"{who.user} is {' and '.join(sorted(roles)) or 'without a role'}; {role} is needed")


def add_user(connection: Connection, who: Who, name: str, roles: Iterable[str] = (), full_name: str = "") -> UserInfo:
    """Add a user; `who` must be an admin. The first user must be an admin, too: nobody else could add the next.

    Exists when there is one of that name (disabled or not); BadInput for a name or role that can't be.
    """
    require(connection, who, "admin")
    wanted = _roles(roles)
    if not name or name != name.strip() or not name.isprintable() or len(name) > 200:
        raise BadInput(f"user {name!r}: a name is 1 to 200 printable characters without blanks around them")
    if len(full_name) > 200 or not (full_name.isprintable()):
        raise BadInput(f"user {name}: the full name is at most 200 printable characters")
    if connection.execute(select(User.name).where(User.name == name)).first():
        raise Exists(f"there is a user {name} already")
    if "admin" not in wanted and not _admins(connection):
        raise BadInput(f"user {name}: the first user must be an admin, or nobody could add another one")
    connection.execute(insert(User).values(name=name, full_name=full_name, disabled=False, created=datetime.now(UTC)))
    _write_roles(connection, name, wanted)
    record(connection, who, "user.add", name, roles=list(wanted), full_name=full_name)
    return get_user(connection, name)


def set_roles(connection: Connection, who: Who, name: str, roles: Iterable[str]) -> UserInfo:
    """Give a user exactly these roles; `who` must be an admin. NotFound; BadInput when no admin would be left."""
    require(connection, who, "admin")
    wanted = _roles(roles)
    before = get_user(connection, name)
    connection.execute(delete(UserRole).where(UserRole.user == name))
    _write_roles(connection, name, wanted)
    _keep_an_admin(connection, name)
    record(connection, who, "user.roles", name, before=list(before.roles), after=list(wanted))
    return get_user(connection, name)


def disable(connection: Connection, who: Who, name: str, disabled: bool = True) -> UserInfo:
    """Take everything from a user, or give it back (False); what they did stays. `who` must be an admin. NotFound."""
    require(connection, who, "admin")
    get_user(connection, name)
    connection.execute(update(User).where(User.name == name).values(disabled=disabled))
    _keep_an_admin(connection, name)
    record(connection, who, "user.disable" if disabled else "user.enable", name)
    return get_user(connection, name)


def get_user(connection: Connection, name: str) -> UserInfo:
    """One user. NotFound."""
    for user in list_users(connection, name):
        return user
    raise NotFound(f"there is no user {name}")


def list_users(connection: Connection, name: str | None = None) -> list[UserInfo]:
    """All users by name, or the one of that name."""
    users, roles = select(User).order_by(User.name), select(UserRole)
    if name is not None:
        users, roles = users.where(User.name == name), roles.where(UserRole.user == name)
    of: dict[str, set[str]] = {}
    for row in connection.execute(roles):
        of.setdefault(row.user, set()).add(row.role)
    return [
        UserInfo(
            row.name, row.full_name, tuple(r for r in ROLES if r in of.get(row.name, ())), row.disabled, row.created
        )
        for row in connection.execute(users)
    ]


def _rank(role: str) -> int:
    if role not in ROLES:
        raise BadInput(f"role {role}: it is none of {', '.join(ROLES)}")
    return ROLES.index(role)


def _roles(roles: Iterable[str]) -> tuple[str, ...]:
    return tuple(ROLES[rank] for rank in sorted({_rank(role) for role in roles}))


def _write_roles(connection: Connection, name: str, roles: Iterable[str]) -> None:
    for role in roles:
        connection.execute(insert(UserRole).values(user=name, role=role))


def _admins(connection: Connection) -> int:
    query = (
        select(func.count())
        .select_from(User)
        .join(UserRole, UserRole.user == User.name)
        .where(UserRole.role == "admin", User.disabled.is_(False))
    )
    return connection.execute(query).scalar_one()


def _keep_an_admin(connection: Connection, name: str) -> None:
    if not _admins(connection):
        raise BadInput(f"user {name}: no admin would be left")
