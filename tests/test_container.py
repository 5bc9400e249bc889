"""The container's files say what is there: no engine is needed to know that a path, an option or an extra exists."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import yaml

from glassbox.cli.main import run as glassbox

HERE = Path(__file__).parents[1]
DOCKERFILE = (HERE / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((HERE / "compose.yaml").read_text())


def test_everything_that_the_image_copies_is_there_and_not_ignored():
    ignored = (HERE / ".dockerignore").read_text().split()
    copied = [name for line in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()]
    assert {"install.py", "pyproject.toml", "src", "guide"} <= set(copied)
    for name in copied:
        assert (HERE / name).exists()
        assert name not in ignored


def test_the_image_installs_extras_that_the_package_has():
    extras = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = re.findall(r"--extra (\S+)", DOCKERFILE)
    assert asked == ["postgresql", "s3"]
    assert set(asked) <= extras.keys()


def test_the_image_starts_a_workshop_that_asks_for_passwords(capsys, monkeypatch):
    command = json.loads(re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1])
    assert command[:2] == ["glassbox", "workshop"]
    assert command[-2:] == ["--people", "many"]
    monkeypatch.setenv("GLASSBOX_DATABASE_URL", "")
    assert glassbox(command[1:]) == 2  # every option is known; what is missing is the first person
    assert "accounts add" in capsys.readouterr().err


def test_the_services_name_what_the_workshop_reads():
    workshop = COMPOSE["services"]["workshop"]
    assert workshop["environment"]["GLASSBOX_DATABASE_URL"].startswith("postgresql://")
    assert workshop["ports"] == ["127.0.0.1:8000:8000"]  # this machine only; a proxy with TLS may stand before it
    assert workshop["volumes"] == [f"workspace:{re.findall(r'GLASSBOX_WORKSPACE=(.*)', DOCKERFILE)[0]}"]
    assert COMPOSE["volumes"].keys() == {"workspace", "database"}
