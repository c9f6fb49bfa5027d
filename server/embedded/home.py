"""Where an embedded server lives: a directory and binaries that the user it runs as can reach."""

import importlib.util
import os
import secrets
import shutil
from pathlib import Path

from server.embedded.errors import EmbeddedError
from server.embedded.process import Account

# Where a server goes when we are root and the data directory is behind a closed door such as /root.
_SHARED_STATE = Path("/var/lib/visavis")


def server_home(data_dir: Path, name: str, account: Account | None) -> Path:
    """The server's own directory under `data_dir`, mode 0700, owned by `account`.

    When `account` cannot get there, `data_dir/name` becomes a link to a directory under /var/lib/visavis.
    """
    path = data_dir.absolute() / name
    if path.is_symlink() and not path.exists():
        path.unlink()  # somebody removed what it pointed to: start afresh
    path.mkdir(parents=True, exist_ok=True)
    if account is None:
        path.chmod(0o700)
        return path
    account.own(path)
    path.chmod(0o700)
    real = path.resolve()
    if account.can_read(real):
        return real
    if any(real.iterdir()):
        raise EmbeddedError(
            f"User {account.name} cannot reach {path}, where the embedded server keeps its data: make its "
            "parent directories accessible (chmod a+x) or choose another one with VISAVIS_DATA_DIR."
        )
    elsewhere = _SHARED_STATE / f"{name}-{secrets.token_hex(6)}"
    elsewhere.mkdir(parents=True)
    account.own(elsewhere)
    elsewhere.chmod(0o700)
    if not account.can_read(elsewhere):
        elsewhere.rmdir()
        raise EmbeddedError(
            f"User {account.name} can reach neither {path} nor {_SHARED_STATE}: "
            "choose another directory with VISAVIS_DATA_DIR."
        )
    path.rmdir()
    path.symlink_to(elsewhere)
    return elsewhere


def package_directory(package: str) -> Path | None:
    """Where an installed package lies, without importing it; None when it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def reachable_tree(tree: Path, probe: tuple[Path, ...], home: Path, account: Account | None) -> Path:
    """`tree` itself if `account` can read the `probe` files in it, else a copy of it under `home`.

    `probe` paths are relative to `tree`. A copy is made once per modification of the first probe file.
    """
    if account is None or account.can_read(*(tree / path for path in probe)):
        return tree
    copy = home / f"{tree.name}-{int((tree / probe[0]).stat().st_mtime)}"
    if not copy.exists():
        fresh = home / f".{copy.name}.{os.getpid()}"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(tree, fresh, symlinks=True)
        for path in (fresh, *fresh.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        fresh.rename(copy)
    return copy
