"""Where the embedded servers of a running `visavis up` are, for its children and for commands in a second terminal."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from server.private import read_json, write_private

ENDPOINTS_FILE = "embedded.json"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What a running `visavis up` tells its own children and commands in a second terminal.

    URLs contain passwords; None where the operator's own server is used.
    """

    pid: int
    database_url: str | None = None
    redis_url: str | None = None
    public_url: str | None = None
    demo: bool = False

    def write(self, data_dir: Path) -> None:
        """Keep in `data_dir/embedded.json`, mode 0600."""
        document = {name: getattr(self, name) for name in self.__slots__}
        write_private(data_dir / ENDPOINTS_FILE, json.dumps(document, indent=1) + "\n")

    @classmethod
    def read(cls, data_dir: Path) -> Self | None:
        """What was written last; None when nothing was or its `visavis up` has gone."""
        found = read_json(data_dir / ENDPOINTS_FILE) or {}
        pid = found.get("pid")
        if not isinstance(pid, int) or not alive(pid):
            return None
        urls = {
            name: found[name] if isinstance(found.get(name), str) else None
            for name in ("database_url", "redis_url", "public_url")
        }
        return cls(pid=pid, demo=found.get("demo") is True, **urls)


def alive(pid: int) -> bool:
    """Whether a process with this id exists (also another user's)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
