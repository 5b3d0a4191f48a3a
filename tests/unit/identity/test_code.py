import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slipway.errors import ConfigurationError
from slipway.identity.code import Closure, closure, code_digests
from slipway.identity.digest import sha256_bytes
from slipway.settings import settings
from tests.unit.identity.checkout import write

CHAIN = {
    "include/a.py": "import b\n",
    "include/b.py": "import c\n",
    "include/c.py": "import d\n",
    "include/d.py": "value = 1\n",
    "include/models/other.py": "value = 1\n",
    "requirements.lock": "torch==2.12.0\n",
}


def ask(root: Path, *entries: str, roots: tuple[str, ...] = ("include",), cache: Path | None = None) -> Closure:
    return closure(
        [root / (entry) for entry in entries],
        [root / name for name in roots],
        lock=root / "requirements.lock",
        cache=cache,
    )


def reached(root: Path, source: str, files: dict[str, str], entry: str = "include/entry.py") -> set[str]:
    """What a file with ``source`` reaches among ``files``; itself left out."""
    write(root, {**files, entry: source, "requirements.lock": ""})
    found = ask(root, entry)
    assert not found.packages, "a first-party import was taken for a third party's"
    return {name.removeprefix("include/") for name in found.code} - {entry.removeprefix("include/")}


PACKAGE = {
    "include/pkg/__init__.py": "",
    "include/pkg/inner/__init__.py": "",
    "include/pkg/inner/leaf.py": "name = 1\n",
    "include/pkg/other.py": "",
    "include/space/leaf.py": "",
    "include/space/more/leaf.py": "",
}
INITS = {"pkg/__init__.py"}
LEAF = {*INITS, "pkg/inner/__init__.py", "pkg/inner/leaf.py"}


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ("import pkg.inner.leaf", LEAF),
        ("import pkg.inner.leaf as short", LEAF),
        ("from pkg.inner import leaf", LEAF),
        ("from pkg.inner.leaf import name", LEAF),
        ("from pkg import other as o, inner", {*INITS, "pkg/other.py", "pkg/inner/__init__.py"}),
        ("from pkg import name_of_its_init", INITS),
        ("from pkg import *", {*INITS, "pkg/other.py"}),
        ("import space.leaf", {"space/leaf.py"}),
        ("from space import leaf", {"space/leaf.py"}),
        ("import space.more.leaf", {"space/more/leaf.py"}),
        ("from space.more import leaf", {"space/more/leaf.py"}),
        ("import space", set()),
        ("def f():\n    class A:\n        if True:\n            import pkg.inner.leaf", LEAF),
        ("try:\n    pass\nexcept E:\n    pass\nelse:\n    import pkg.other", {*INITS, "pkg/other.py"}),
        ("match x:\n    case 1:\n        import pkg.other", {*INITS, "pkg/other.py"}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pkg.inner.leaf", LEAF),
        ("import importlib\nf = lambda: importlib.import_module('pkg.inner.leaf')", LEAF),
        ("from importlib import import_module\nimport_module('.leaf', 'pkg.inner')", LEAF),
        ("from importlib import import_module\nimport_module('.leaf', package='pkg.inner')", LEAF),
        ("__import__('pkg.inner.leaf')", LEAF),
        ("import importlib\nimportlib.import_module(name='pkg.inner.leaf')", LEAF),
        ("import importlib\nimportlib.import_module(package='pkg.inner', name='.leaf')", LEAF),
        ("from importlib import import_module as load\nload('pkg.inner.leaf')", LEAF),
        ("load('pkg.inner.leaf')\nfrom builtins import __import__ as load", LEAF),
        ("from importlib import import_module\nload('pkg.inner.leaf')", set()),
        ("import importlib\nimportlib.import_module(name)", set()),
        ("import json, os.path, xml.etree.ElementTree", set()),
    ],
)
def test_every_way_to_import_a_module_is_followed(tmp_path, source, files):
    assert reached(tmp_path, source, PACKAGE) == files


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ("from . import sister", {"pkg/sub/sister.py"}),
        ("from .sister import name", {"pkg/sub/sister.py"}),
        ("from .. import aunt", {"pkg/aunt.py"}),
        ("from ..aunt import name as n", {"pkg/aunt.py"}),
        ("from importlib import import_module\nimport_module('.sister', __package__)", {"pkg/sub/sister.py"}),
        ("from importlib import import_module\nimport_module('..aunt', package=__package__)", {"pkg/aunt.py"}),
    ],
)
def test_relative_imports_are_followed_from_the_files_package(tmp_path, source, files):
    tree = ("pkg/__init__.py", "pkg/sub/__init__.py", "pkg/sub/sister.py", "pkg/aunt.py")
    found = reached(tmp_path, source, {f"include/{name}": "" for name in tree}, entry="include/pkg/sub/entry.py")
    assert found == {"pkg/__init__.py", "pkg/sub/__init__.py", *files}


def test_what_importing_a_package_runs_counts_for_an_entry_inside_it(tmp_path):
    files = {"include/pkg/__init__.py": "import helper\n", "include/helper.py": ""}
    assert reached(tmp_path, "", files, entry="include/pkg/__main__.py") == {"pkg/__init__.py", "helper.py"}


def test_cycles_end(tmp_path):
    assert reached(tmp_path, "import a", {"include/a.py": "import b", "include/b.py": "import a, entry"}) == {
        "a.py",
        "b.py",
    }


def test_thousands_of_branches_are_no_depth(tmp_path):
    branches = "".join(f"elif x == {n}:\n    pass\n" for n in range(1500))
    assert reached(tmp_path, f"if x:\n    pass\n{branches}else:\n    import a\n", {"include/a.py": ""}) == {"a.py"}


def test_editing_a_module_three_imports_away_changes_the_code(tmp_path):
    write(tmp_path, CHAIN)
    before = ask(tmp_path, "include/a.py", cache=tmp_path / "cache")
    write(tmp_path, {"include/d.py": "value = 2\n"})
    after = ask(tmp_path, "include/a.py", cache=tmp_path / "cache")
    assert {name for name in before.code if before.code[name] != after.code[name]} == {"include/d.py"}


def test_another_pipelines_model_the_clock_and_the_folder_change_nothing(tmp_path):
    here = write(tmp_path / "here", CHAIN)
    before = ask(here, "include/a.py", cache=here / "cache")
    write(here, {"include/models/other.py": "value = 1  # a comment\n"})
    for path in here.rglob("*.py"):
        os.utime(path, (0, 0))
    assert ask(here, "include/a.py", cache=here / "cache") == before
    there = tmp_path / "elsewhere" / "deeper"
    shutil.copytree(here, there)
    assert ask(there, "include/a.py", cache=there / "cache") == before


FINGERPRINT = """
import os, platform, socket, sys, time
from pathlib import Path
machine, root, *entries = sys.argv[1:]
os.uname = platform.uname = platform.node = socket.gethostname = lambda: machine
time.time = lambda: float(len(machine))
from slipway.identity.code import closure
from slipway.identity.fingerprint import Ingredients
root = Path(root)
found = closure([root / "include" / name for name in entries], [root / "include"],
                lock=root / "requirements.lock", cache=root / "cache")
print(Ingredients(stage="train", pipeline="p", code=found.code, packages=found.packages, parameters={"lr": 0.1},
                  inputs={}, environment="e", hardware="x86_64-cpu").fingerprint())
"""


def fingerprint(root: Path, *entries: str, machine: str = "here", seed: str = "0") -> str:
    """As a process of its own computes it, on a machine of that name, with that seed of hashes."""
    return subprocess.run(
        [sys.executable, "-c", FINGERPRINT, machine, str(root), *entries],
        env={"PYTHONPATH": str(settings().root / "include"), "PYTHONHASHSEED": seed, "HOSTNAME": machine},
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_the_fingerprint_follows_the_code_and_neither_machine_nor_clock_nor_folder_nor_seed(tmp_path):
    here = write(tmp_path / "here", CHAIN)
    there = write(tmp_path / "elsewhere" / "deeper", CHAIN)
    before = fingerprint(here, "a.py", "b.py")
    assert fingerprint(there, "b.py", "a.py", machine="another-one", seed="1") == before
    write(there, {"include/d.py": "value = 1  # three imports away\n"})
    assert fingerprint(there, "b.py", "a.py") != before


def test_a_module_that_is_a_link_is_named_by_its_place_and_digested_by_its_content(tmp_path):
    write(tmp_path, {"include/a.py": "import b, c", "shared/x.py": "1", "shared/y/x.py": "2", "requirements.lock": ""})
    (tmp_path / "include/b.py").symlink_to(tmp_path / "shared/x.py")
    (tmp_path / "include/c.py").symlink_to(tmp_path / "shared/y/x.py")
    found = ask(tmp_path, "include/a.py").code
    assert found == {
        "include/a.py": sha256_bytes(b"import b, c"),
        "include/b.py": sha256_bytes(b"1"),
        "include/c.py": sha256_bytes(b"2"),
    }


def test_a_project_reached_through_a_link_is_the_same_project(tmp_path):
    write(tmp_path / "real", CHAIN)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    mixed = closure(
        [tmp_path / "real/include/a.py"], [tmp_path / "link/include"], lock=tmp_path / "real/requirements.lock"
    )
    assert mixed == ask(tmp_path / "real", "include/a.py")


def test_a_module_missing_from_a_package_of_ours_is_no_third_partys(tmp_path):
    assert reached(tmp_path, "import pkg.not_written_yet", {"include/pkg/__init__.py": ""}) == {"pkg/__init__.py"}


@pytest.mark.parametrize("source", [b"def f(:\n", b"x = 1\0", b"\xff\xfe\xff"])
def test_what_is_not_python_is_named(tmp_path, source):
    write(tmp_path, {"include/a.py": "import b\n", "include/b.py": source, "requirements.lock": ""})
    with pytest.raises(ConfigurationError, match=r"include/b\.py"):
        ask(tmp_path, "include/a.py")


def test_an_entry_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"nowhere\.py"):
        code_digests([tmp_path / "nowhere.py"], [tmp_path])


def test_a_missing_lock_is_named(tmp_path):
    write(tmp_path, {"include/a.py": ""})
    with pytest.raises(ConfigurationError, match=r"requirements\.lock.*make lock"):
        ask(tmp_path, "include/a.py")


def test_roots_of_one_name_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="different names"):
        code_digests([], [tmp_path / "a" / "include", tmp_path / "b" / "include"])


def test_outside_entries_of_one_name_are_refused(tmp_path):
    write(tmp_path, {"one/run.py": "", "two/run.py": ""})
    with pytest.raises(ConfigurationError, match="different names"):
        code_digests([tmp_path / "one/run.py", tmp_path / "two/run.py"], [tmp_path / "include"])


def test_the_devices_closure_holds_nothing_of_airflow():
    entry = settings().root / "include/slipway/pods/process.py"
    assert not [name for name in code_digests([entry], [settings().root / "include"]) if "airflow" in name]
