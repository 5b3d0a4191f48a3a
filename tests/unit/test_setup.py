"""`make setup` in a checkout whose packages are installed, which must not need the network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from slipway.settings import settings

PRINTS = "import os, sys\nprint(__file__, *sys.argv[1:], sep='|')\nprint(os.environ['PYTHONPATH'])\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "a checkout"
    for name in ("requirements.txt", "requirements-dev.txt", "requirements.lock"):
        write(root / name, "")
    write(root / "docker/spark/require-java.sh", "#!/bin/sh\n").chmod(0o755)
    write(root / "Makefile", (settings().root / "Makefile").read_text())
    write(root / "include/slipway/__main__.py", PRINTS)
    python = root / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    write(root / ".venv/.installed", "")
    return root


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def make_setup(root: Path) -> None:
    subprocess.run(["make", "setup"], cwd=root, check=True, capture_output=True, timeout=60)


def told(command: Path, *arguments: str, cwd: Path) -> list[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": "/elsewhere", "CDPATH": "/usr"}
    done = subprocess.run([command, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_command_runs_its_own_checkout_from_anywhere_with_the_arguments_as_given(checkout, tmp_path):
    make_setup(checkout)
    first, path = told(checkout / ".venv/bin/slipway", "demo", "--first", "two words", "", cwd=tmp_path)
    assert first.endswith("/a checkout/include/slipway/__main__.py|demo|--first|two words|")
    assert path == f"{checkout}/include"


def test_the_command_may_be_linked_to_from_another_folder(checkout, tmp_path):
    make_setup(checkout)
    link = tmp_path / "slipway"
    link.symlink_to(checkout / ".venv/bin/slipway")
    assert told(link, cwd=tmp_path)[1] == f"{checkout}/include"


def test_checkouts_that_share_a_venv_run_each_its_own_code(checkout, tmp_path):
    make_setup(checkout)
    other = tmp_path / "other"
    write(other / "include/slipway/__main__.py", PRINTS)
    (other / ".venv").symlink_to(checkout / ".venv")
    assert told(other / ".venv/bin/slipway", cwd=tmp_path)[1] == f"{other}/include"


def test_a_second_setup_has_nothing_to_do(checkout):
    make_setup(checkout)
    command = checkout / ".venv/bin/slipway"
    before = command.stat().st_mtime_ns
    make_setup(checkout)
    assert command.stat().st_mtime_ns == before
