"""The Dockerfile, which cannot be built here: what it copies exists, and what it promises is written in it."""

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) in order, comments gone and continued lines joined."""
    text = "\n".join(
        line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")
    )
    joined = re.sub(r"\\\n\s*", "", text)
    return [
        (name.upper(), rest)
        for name, _, rest in (line.partition(" ") for line in joined.splitlines())
        if name
    ]


def last_stage() -> list[tuple[str, str]]:
    found = instructions()
    return found[max(i for i, (name, _) in enumerate(found) if name == "FROM") :]


def copied() -> list[str]:
    """Sources copied from the working tree, not from another stage."""
    return [
        source
        for name, rest in instructions()
        if name in ("COPY", "ADD") and "--from=" not in rest
        for source in rest.split()[:-1]
    ]


def test_it_has_a_build_stage_and_takes_only_its_result() -> None:
    stages = [rest for name, rest in instructions() if name == "FROM"]
    assert len(stages) == 2
    assert all(re.search(r":\d", stage) for stage in stages), "base images are pinned to a release"
    assert [rest for name, rest in last_stage() if name == "COPY"] == [
        "--from=build /opt/visavis /opt/visavis"
    ]


def test_it_does_not_run_as_root() -> None:
    users = [rest for name, rest in last_stage() if name == "USER"]
    assert users
    assert users[-1] not in ("root", "0")
    assert any("useradd" in rest and rest.endswith(users[-1]) for name, rest in last_stage() if name == "RUN")


def test_health_is_asked_of_healthz_by_valid_python() -> None:
    [check] = [rest for name, rest in last_stage() if name == "HEALTHCHECK"]
    command = json.loads(check[check.index("[") :])
    assert command[0] == "python"
    assert "/healthz" in command[2]
    compile(command[2], "HEALTHCHECK", "exec")


def test_dependencies_are_installed_by_hash() -> None:
    installs = [rest for name, rest in instructions() if name == "RUN" and "pip install" in rest]
    assert installs
    assert all("--require-hashes" in rest or "--no-deps" in rest for rest in installs)


def test_it_serves() -> None:
    [command] = [json.loads(rest) for name, rest in last_stage() if name == "CMD"]
    assert command == ["visavis", "serve"]
    assert "visavis" in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


@pytest.mark.parametrize("source", copied())
def test_what_it_copies_exists_and_is_not_ignored(source: str) -> None:
    assert (ROOT / source).exists()
    assert f"!{source.removeprefix('./').rstrip('/')}" in (ROOT / ".dockerignore").read_text().splitlines()


def test_every_package_of_the_wheel_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(packages) <= set(copied())
