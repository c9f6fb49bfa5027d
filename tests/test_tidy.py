"""The house stays as drawn: storeys, SQL in store.py, a hot path that never waits, rooms of a comfortable size."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import media

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("server", "media", "signaling", "jobs", "web", "loadtest")
LONGEST_MODULE = 500
SQL = re.compile(
    r"\b(SELECT\s.+\sFROM\b|INSERT\s+INTO\b|UPDATE\s+\w+\s+SET\b|DELETE\s+FROM\b"
    r"|(CREATE|ALTER|DROP)\s+(TABLE|DATABASE|ROLE|INDEX|SCHEMA)\b|pg_(try_)?advisory)",
    re.DOTALL,
)


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def unit(dotted: str) -> str:
    """The unit of the drawing that a module belongs to: ``server.booking.store`` -> ``server.booking``."""
    parts = dotted.split(".")
    whole = parts[0] == "server" or parts[:2] == ["jobs", "worker"]
    return ".".join(parts[:2]) if whole else parts[0]


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where things come from"
            assert node.module is not None
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in names if name.split(".")[0] in (*PACKAGES, "tests")}


def real_graph() -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for path in modules():
        if path == ROOT / "server" / "__init__.py":  # what every process shares, imports nothing of ours
            continue
        here = unit(dotted(path))
        graph.setdefault(here, set()).update(unit(name) for name in imported(path) if unit(name) != here)
    return graph


def drawn_graph() -> dict[str, set[str]]:
    block = re.search(r"```imports\n(.*?)```", (ROOT / "ARCHITECTURE.md").read_text(), re.DOTALL)
    assert block, "ARCHITECTURE.md has lost its drawing"
    graph: dict[str, set[str]] = {}
    for line in block[1].splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, below = line.partition(":")
            graph[name.strip()] = set(below.split())
    return graph


def test_the_imports_are_as_drawn() -> None:
    real, drawn = real_graph(), drawn_graph()
    faults = []
    for name in sorted(real.keys() | drawn.keys()):
        if more := real.get(name, set()) - drawn.get(name, set()):
            faults.append(f"{name} imports {' '.join(sorted(more))}, which is not drawn")
        if less := drawn.get(name, set()) - real.get(name, set()):
            faults.append(f"{name} is drawn as importing {' '.join(sorted(less))}, but does not")
    assert not faults, "\n".join(faults)


def test_the_drawing_only_points_down() -> None:
    drawn = drawn_graph()
    height = {name: line for line, name in enumerate(drawn)}
    up = [f"{a} -> {b}" for a, below in drawn.items() for b in below if height[b] <= height[a]]
    assert not up, up


def test_edges_do_not_import_each_other_and_media_imports_nothing_of_ours() -> None:
    real = real_graph()
    edges = {"web", "signaling", "jobs"}
    for edge in edges:
        assert not real[edge] & (edges | {"jobs.worker"}) - {edge}, edge
    assert real["media"] == set()
    assert real["loadtest"] <= {"media"}
    users = {name for name, below in real.items() if "media" in below}
    assert users <= {"signaling", "server.app", "server.cli", "server.metrics", "loadtest"}, users


def test_sql_lives_in_stores() -> None:
    faults = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules()
        if path.name != "store.py"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.search(node.value)
    ]
    assert not faults, faults


def test_models_do_not_wait_and_stores_take_a_connection_first() -> None:
    faults = []
    for path in modules():
        for node in ast.walk(tree(path)):
            if path.name == "model.py" and isinstance(node, ast.AsyncFunctionDef | ast.Await):
                faults.append(f"{path.relative_to(ROOT)}:{node.lineno} a model awaits")
            if (
                path.name == "store.py"
                and isinstance(node, ast.AsyncFunctionDef)
                and not node.name.startswith("_")
            ):
                first = node.args.args[0].arg if node.args.args else None
                if first != "conn":
                    faults.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} takes {first} first")
    assert not faults, faults


def test_the_hot_path_never_waits_or_logs() -> None:
    """The modules that media/ itself declares hot hold no coroutine and no logger."""
    assert len(media.HOT_PATH) >= 4
    faults = []
    for name in media.HOT_PATH:
        path = ROOT / (name.replace(".", "/") + ".py")
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
                faults.append(f"{name}:{node.lineno} waits")
            if isinstance(node, ast.Import | ast.ImportFrom):
                named = getattr(node, "module", None) or node.names[0].name
                if named.split(".")[0] in {"logging", "structlog"}:
                    faults.append(f"{name}:{node.lineno} logs")
    assert not faults, faults


def test_every_module_says_why_it_exists_and_stays_readable() -> None:
    faults = []
    for path in modules():
        text = path.read_text()
        if not ast.get_docstring(tree(path)):
            faults.append(f"{path.relative_to(ROOT)} has no docstring")
        if (length := text.count("\n")) > LONGEST_MODULE:
            faults.append(f"{path.relative_to(ROOT)} has {length} lines: what else moved in?")
    assert not faults, faults


def test_no_exception_is_swallowed_in_silence() -> None:
    faults = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler) and len(node.body) == 1 and isinstance(node.body[0], ast.Pass)
    ]
    assert not faults, faults


def test_no_module_shadows_a_library() -> None:
    taken = {
        "asyncio",
        "redis",
        "http",
        "json",
        "logging",
        "email",
        "calendar",
        "queue",
        "types",
        "secrets",
        "av",
    }
    faults = [
        str(path.relative_to(ROOT))
        for path in modules()
        if len(path.relative_to(ROOT).parts) == 1 and path.stem in taken
    ]
    assert not faults, faults


def test_nothing_of_somebodys_machine_is_in_the_repository() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    suspicious = re.compile(
        r"/(work|home/\w+|root)/(?!\*)[\w.]|registry\.npmjs|files\.pythonhosted|BEGIN (EC |RSA )?PRIVATE KEY"
    )
    faults = []
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if not path.is_file() or path.suffix in {".png", ".lock"} or path == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if suspicious.search(line):
                faults.append(f"{name}:{number}: {line.strip()[:80]}")
    assert not faults, "\n".join(faults)
