"""Who does something."""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Who:
    """A user on a host, as rows and the audit name them."""

    user: str
    host: str

    @classmethod
    def me(cls) -> Who:
        """The login name of this process and the name of this host."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container with a uid of no name
            user = f"uid{os.getuid()}" if hasattr(os, "getuid") else "unknown"
        return cls(user, socket.gethostname())

    def __str__(self) -> str:
        return f"{self.user}@{self.host}"
