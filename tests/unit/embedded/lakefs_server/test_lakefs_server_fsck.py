"""fsck finds every kind of damage, and none where there is none."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slipway.cli import app
from slipway.embedded.lakefs_server import branches, fsck, nodes
from slipway.embedded.lakefs_server.folder_lock import held
from slipway.embedded.lakefs_server.nodes import Node, NodeCache, Nodes, border
from slipway.embedded.lakefs_server.presigned import remember_upload
from slipway.embedded.lakefs_server.repository import Catalog
from slipway.embedded.lakefs_server.trees import Entry
from tests.unit.embedded.lakefs_server.repositories import entry_of, put, store

Damage = Callable[[sqlite3.Connection, Path], None]
DAMAGES: dict[str, tuple[Damage, str]] = {}


def damage(expected: str) -> Callable[[Damage], Damage]:
    def register(wreck: Damage) -> Damage:
        DAMAGES[wreck.__name__] = (wreck, expected)
        return wreck

    return register


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A sound repository with trees of several levels, two branches, a tag, staging and an upload not yet linked."""
    data = tmp_path_factory.mktemp("sound") / "lake"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nodes, "_BITS", 1)
        catalog = Catalog(data)
        repository = catalog.create("sound", "local://sound", "main")
        for number in range(40):
            put(repository, "main", f"part/{number:02}", b"%d" % number)
        branches.commit(repository, "main", "forty", {})
        branches.create_branch(repository, "run", "main")
        branches.create_tag(repository, "v1", "main")
        put(repository, "run", "part/07", b"seven")
        branches.commit(repository, "run", "seven", {})
        branches.merge_into(repository, "run", "main", None, {})
        put(repository, "run", "staged", b"not committed")
        remember_upload(repository, "f" * 32, store(repository, b"not linked"))
        catalog.close()
        (data / "lock").touch()
        yield data


@pytest.fixture
def data(sound: Path, tmp_path: Path) -> Path:
    """A copy of the sound repository, to be damaged."""
    return shutil.copytree(sound, tmp_path / "lake")


def found(data: Path, deep: bool = False) -> list[fsck.Finding]:
    return list(fsck.check(data, deep=deep, progress=lambda *_: None))


def one(connection: sqlite3.Connection, query: str) -> tuple[bytes, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None
    return tuple(row)


def head_tree(connection: sqlite3.Connection) -> bytes:
    return one(connection, "SELECT tree FROM commits JOIN branches ON commit_id = id WHERE name = 'main'")[0]


def node(connection: sqlite3.Connection, identity: bytes) -> Node:
    row = connection.execute("SELECT data FROM nodes WHERE id = ?", (identity,)).fetchone()
    return nodes.decode(row[0])


def leaf(connection: sqlite3.Connection) -> bytes:
    identity = head_tree(connection)
    while (below := node(connection, identity)).height:
        identity = below.values[0]
    return identity


def replace_root(connection: sqlite3.Connection, changed: Node) -> None:
    """Give main's newest commit another tree, whose node is stored under its right id."""
    identity = Nodes(connection, NodeCache()).write(changed)
    connection.execute("UPDATE commits SET tree = ? WHERE tree = ?", (identity, head_tree(connection)))


def object_file(folder: Path, content: bytes) -> Path:
    return next(path for path in (folder / "objects").glob("*/*") if path.read_bytes() == content)


@damage("branch run names the commit")
def branch_without_commit(connection: sqlite3.Connection, folder: Path) -> None:
    connection.execute("UPDATE branches SET commit_id = ? WHERE name = 'run'", ("0" * 64,))


@damage("tag v1 names the commit")
def tag_without_commit(connection: sqlite3.Connection, folder: Path) -> None:
    connection.execute("UPDATE tags SET commit_id = ?", ("0" * 64,))


@damage("its parent")
def commit_without_parent(connection: sqlite3.Connection, folder: Path) -> None:
    connection.execute("DELETE FROM commits WHERE generation = 1")


@damage("its record is not what its id names")
def commit_with_another_record(connection: sqlite3.Connection, folder: Path) -> None:
    connection.execute("UPDATE commits SET record = replace(record, 'forty', 'fifty')")


@damage("its record is of another tree")
def commit_with_another_tree(connection: sqlite3.Connection, folder: Path) -> None:
    (tree,) = one(connection, "SELECT tree FROM commits WHERE generation = 1")
    connection.execute("UPDATE commits SET tree = ? WHERE generation = 2", (tree,))


@damage("its generation is 9")
def commit_with_a_wrong_generation(connection: sqlite3.Connection, folder: Path) -> None:
    connection.execute("UPDATE commits SET generation = 9 WHERE generation = 1")


@damage("is missing")
def node_gone(connection: sqlite3.Connection, folder: Path) -> None:
    connection.execute("DELETE FROM nodes WHERE id = ?", (leaf(connection),))


@damage("does not decode")
def node_cut_short(connection: sqlite3.Connection, folder: Path) -> None:
    connection.execute("UPDATE nodes SET data = substr(data, 1, length(data) - 3) WHERE id = ?", (leaf(connection),))


@damage("its content is not what its id names")
def node_with_other_content(connection: sqlite3.Connection, folder: Path) -> None:
    (other,) = one(connection, "SELECT data FROM nodes ORDER BY length(data) DESC")
    connection.execute("UPDATE nodes SET data = ? WHERE id = ?", (other, leaf(connection)))


@damage("its keys are not in byte order")
def keys_out_of_order(connection: sqlite3.Connection, folder: Path) -> None:
    root = node(connection, head_tree(connection))
    replace_root(connection, Node(root.height, root.keys[::-1], root.values[::-1], []))


@damage("does not end where the hash of its keys says")
def node_that_should_have_ended(connection: sqlite3.Connection, folder: Path) -> None:
    rows = [
        (path, node(connection, one_leaf).values[at])
        for (one_leaf,) in connection.execute("SELECT id FROM nodes").fetchall()
        if not node(connection, one_leaf).height
        for at, path in enumerate(node(connection, one_leaf).keys)
    ]
    unique = sorted(dict(rows).items())
    assert any(border(path) for path, _ in unique[:-1])
    replace_root(connection, Node(0, [key for key, _ in unique], [entry for _, entry in unique], [0] * len(unique)))


@damage("its root has a single node below")
def root_above_the_root(connection: sqlite3.Connection, folder: Path) -> None:
    root = head_tree(connection)
    below = node(connection, root)
    replace_root(connection, Node(below.height + 1, [below.keys[-1]], [root], []))


@damage("does not belong below its row")
def child_under_another_key(connection: sqlite3.Connection, folder: Path) -> None:
    root = node(connection, head_tree(connection))
    replace_root(connection, Node(root.height, root.keys, [root.values[-1], *root.values[1:]], []))


@damage("have 0 values")
def keys_without_values(connection: sqlite3.Connection, folder: Path) -> None:
    replace_root(connection, Node(0, [b"a"], [], []))


@damage("its entry does not decode")
def entry_of_nonsense(connection: sqlite3.Connection, folder: Path) -> None:
    replace_root(connection, Node(0, [b"a"], [b"nonsense"], [0]))


@damage("is missing")
def object_gone(connection: sqlite3.Connection, folder: Path) -> None:
    object_file(folder, b"11").unlink()


@damage("has 1 bytes, expected 2")
def object_cut_short(connection: sqlite3.Connection, folder: Path) -> None:
    object_file(folder, b"11").write_bytes(b"1")


@damage("uncommitted on run: staged: object")
def staged_object_gone(connection: sqlite3.Connection, folder: Path) -> None:
    object_file(folder, b"not committed").unlink()


@damage("not linked yet: object")
def uploaded_object_gone(connection: sqlite3.Connection, folder: Path) -> None:
    object_file(folder, b"not linked").unlink()


@damage("on the branch gone, which is missing")
def staging_without_branch(connection: sqlite3.Connection, folder: Path) -> None:
    connection.execute("UPDATE staging SET branch = 'gone'")


@damage("expected one repository sound")
def database_of_another_repository(connection: sqlite3.Connection, folder: Path) -> None:
    connection.execute("UPDATE repository SET id = 'other'")


@damage("the default branch main is missing")
def no_default_branch(connection: sqlite3.Connection, folder: Path) -> None:
    connection.execute("DELETE FROM branches WHERE name = 'main'")


@damage("has format 1")
def another_format(connection: sqlite3.Connection, folder: Path) -> None:
    connection.execute("PRAGMA user_version = 1")


def test_a_sound_repository_has_no_findings(data: Path) -> None:
    assert found(data) == []
    assert found(data, deep=True) == []


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_something_to_do_is_named(data: Path, name: str) -> None:
    wreck, expected = DAMAGES[name]
    folder = data / "repositories" / "sound"
    connection = sqlite3.connect(folder / "meta.db")
    wreck(connection, folder)
    connection.commit()
    connection.close()
    findings = found(data)
    assert any(expected in finding.what for finding in findings), findings
    assert all(finding.todo for finding in findings)


def test_changed_bytes_of_the_same_length_are_found_by_a_deep_check(data: Path) -> None:
    object_file(data / "repositories" / "sound", b"11").write_bytes(b"12")
    assert found(data) == []
    assert any("has other bytes" in finding.what for finding in found(data, deep=True))


@pytest.mark.parametrize("position", [0, 4096, 3 * 4096])
def test_a_database_with_overwritten_pages_is_found(data: Path, position: int) -> None:
    with (data / "repositories" / "sound" / "meta.db").open("r+b") as file:
        file.seek(position)
        file.write(b"\xff" * 100)
    assert any("meta.db" in finding.what for finding in found(data))


def test_a_missing_database_is_found(data: Path) -> None:
    (data / "repositories" / "sound" / "meta.db").unlink()
    assert any("meta.db cannot be read" in finding.what for finding in found(data))


def test_an_entry_that_is_not_canonical_is_found(data: Path) -> None:
    padded = Entry("ab" * 32, "cd" * 16, 1, "text/plain").encode().replace(b"\xaatext/plain", b"\xd9\x0atext/plain")
    with sqlite3.connect(data / "repositories" / "sound" / "meta.db") as connection:
        connection.execute("UPDATE staging SET entry = ?", (padded,))
    assert any("not in canonical form" in finding.what for finding in found(data))


def test_nothing_is_written(data: Path) -> None:
    def state() -> dict[Path, tuple[bytes, int]]:
        files = [path for path in data.rglob("*") if path.is_file()]
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    before = state()
    assert found(data, deep=True) == []
    assert state() == before


def test_the_command_says_clean_damaged_and_cannot_run(data: Path) -> None:
    command = ["lake", "fsck", "--data", str(data)]
    clean = CliRunner().invoke(app, command)
    assert (clean.exit_code, "is clean" in clean.output) == (0, True)
    with held(data, create=False):
        refused = CliRunner().invoke(app, command)
    assert (refused.exit_code, "another server uses" in refused.output) == (2, True)
    object_file(data / "repositories" / "sound", b"11").unlink()
    damaged = CliRunner().invoke(app, command)
    assert damaged.exit_code == 1
    assert "part/11: object" in damaged.output and "upload the same bytes again" in damaged.output
    absent = CliRunner().invoke(app, ["lake", "fsck", "--data", str(data / "nowhere")])
    assert (absent.exit_code, "expected a lake's data folder" in absent.output) == (2, True)


def test_uploading_the_same_bytes_again_mends_a_missing_object(data: Path) -> None:
    object_file(data / "repositories" / "sound", b"11").unlink()
    catalog = Catalog(data)
    put(catalog.get("sound"), "run", "anywhere", b"11")
    catalog.close()
    assert found(data) == []


def test_an_entry_of_an_absent_object_is_named_with_its_path(data: Path) -> None:
    entry = entry_of(store(Catalog(data).get("sound"), b"x"))
    object_file(data / "repositories" / "sound", b"x").unlink()
    with sqlite3.connect(data / "repositories" / "sound" / "meta.db") as connection:
        connection.execute("INSERT INTO staging VALUES ('run', ?, ?, 0)", ("é".encode(), entry.encode()))
    assert [finding.what for finding in found(data)] == [f"uncommitted on run: é: object {entry.sha256} is missing"]
