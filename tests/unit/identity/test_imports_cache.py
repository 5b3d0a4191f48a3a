import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.identity import code
from slipway.identity.code import closure
from slipway.identity.digest import sha256_bytes
from slipway.identity.imports import imports_of, keep_imports, load_imports
from slipway.settings import settings as project
from tests.unit.identity.checkout import write

FILES = {"include/a.py": "import b\nimport numpy\n", "include/b.py": "import c\n", "include/c.py": ""}


def ask(root: Path):
    lock = root / "requirements.lock"
    return closure([root / "include/a.py"], [root / "include"], lock=lock, cache=root / "cache")


@pytest.fixture
def root(tmp_path):
    return write(tmp_path, {**FILES, "requirements.lock": "numpy==2.0\n"})


@pytest.fixture
def kept(root):
    ask(root)
    (file,) = (root / "cache").iterdir()
    return file


def count_parsing(monkeypatch) -> list[bytes]:
    parsed: list[bytes] = []
    monkeypatch.setattr(code, "imports_of", lambda source: parsed.append(source) or imports_of(source))
    return parsed


def test_a_second_process_parses_nothing(root, kept, monkeypatch):
    parsed = count_parsing(monkeypatch)
    ask(root)
    assert parsed == []


def test_only_what_changed_is_parsed_and_what_is_gone_is_forgotten(root, kept, monkeypatch):
    parsed = count_parsing(monkeypatch)
    write(root, {"include/b.py": "import c  # changed\n"})
    assert set(ask(root).code) == set(FILES)
    assert parsed == [b"import c  # changed\n"]
    assert len(load_imports(kept)) == 3


def test_an_import_that_was_added_is_followed_though_everything_else_is_kept(root, kept):
    write(root, {"include/c.py": "import d\n", "include/d.py": ""})
    assert "include/d.py" in ask(root).code


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"{}",
        b"0" * 64 + b"\n{}",
        b"\xff\xfe\n\xff",
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_not_believed_and_is_written_anew(root, kept, content):
    right = ask(root)
    whole = kept.read_bytes()
    kept.write_bytes(content)
    assert ask(root) == right
    assert kept.read_bytes() == whole


@settings(max_examples=60)
@given(st.data())
def test_no_damage_to_the_file_is_ever_believed(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damage")
    file = folder / "kept.json"
    known = {"a" * 64: ("b", ".c", "d.*"), "b" * 64: ()}
    keep_imports(file, known)
    content = bytearray(file.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    assert load_imports(file) == {}


def test_what_another_reader_kept_is_not_believed(root, kept, monkeypatch):
    with monkeypatch.context() as older:
        older.setattr("slipway.identity.imports._reader", lambda: "an older one")
        keep_imports(kept, dict.fromkeys(load_imports(kept) or [sha256_bytes(b"import b\nimport numpy\n")], ()))
        assert load_imports(kept)
    assert load_imports(kept) == {}
    assert set(ask(root).code) == set(FILES)


def test_a_disk_nobody_can_write_to_makes_no_difference(root):
    lock = root / "requirements.lock"
    found = closure([root / "include/a.py"], [root / "include"], lock=lock, cache=Path("/proc/cache"))
    assert set(found.code) == set(FILES)


def test_a_cache_that_cannot_be_made_or_read_makes_no_difference(root):
    (root / "cache").write_text("a file where the folder should be")
    assert set(ask(root).code) == set(FILES)
    (root / "cache").unlink()
    ask(root)
    (file,) = (root / "cache").iterdir()
    file.unlink()
    file.mkdir()
    assert set(ask(root).code) == set(FILES)
    assert list((root / "cache").iterdir()) == [file]


def test_processes_at_the_same_time_all_get_the_right_answer(root):
    script = (
        "import sys, shutil; from pathlib import Path; from slipway.identity.code import closure\n"
        "root = Path(sys.argv[1])\n"
        "for turn in range(60):\n"
        "    (root / 'include' / f'{sys.argv[2]}.py').write_text(f'import c  # {turn}')\n"
        "    if turn % 7 == int(sys.argv[2]): shutil.rmtree(root / 'cache', ignore_errors=True)\n"
        "    found = closure([root / 'include/a.py', root / 'include' / f'{sys.argv[2]}.py'], [root / 'include'],\n"
        "                    lock=root / 'requirements.lock', cache=root / 'cache')\n"
        "    shared = closure([root / 'include/a.py'], [root / 'include'],\n"
        "                     lock=root / 'requirements.lock', cache=root / 'cache')\n"
        "    assert len(found.code) == 4 and len(shared.code) == 3, (found, shared)\n"
        "    assert shared.packages == {'numpy': '2.0'}"
    )
    environment = {"PYTHONPATH": str(project().root / "include")}

    def run(number: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script, str(root), str(number)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(4) as pool:
        assert [done.stderr for done in pool.map(run, range(4))] == [""] * 4
    assert not list((root / "cache").glob("*.partial"))
