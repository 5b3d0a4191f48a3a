"""Commit records, the log, common ancestors and reference expressions."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.embedded.lakefs_server import history, references
from slipway.embedded.lakefs_server.database import Database
from slipway.embedded.lakefs_server.history import Commit
from slipway.embedded.lakefs_server.refusal import RefusalError
from slipway.errors import ConfigurationError

TREE = b"\x01" * 20


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    database = Database(tmp_path / "meta.db")
    with database.writing() as open_connection:
        yield open_connection
    database.close()


def make(connection: sqlite3.Connection, message: str, *parents: Commit) -> Commit:
    return history.record(connection, TREE, parents, message, {}, created=1_700_000_000)


def test_the_id_depends_on_the_fields_alone(connection: sqlite3.Connection) -> None:
    root = make(connection, "root")
    same = history.record(connection, TREE, [], "root", {}, created=1_700_000_000)
    assert same == root
    others = [
        history.record(connection, b"\x02" * 20, [], "root", {}, created=1_700_000_000),
        history.record(connection, TREE, [root], "root", {}, created=1_700_000_000),
        history.record(connection, TREE, [], "root", {"k": "v"}, created=1_700_000_000),
        history.record(connection, TREE, [], "root", {}, created=1_700_000_001),
    ]
    assert len({root.id, *(other.id for other in others)}) == 5
    assert len(root.id) == 64


def test_a_known_record_keeps_its_id(connection: sqlite3.Connection) -> None:
    # sha256sum of {"committer":"admin","created":1700000000,"message":"root","meta_range_id":<sha256 of "tree " + 20
    # bytes of 01>,"metadata":{},"parents":[]}: ids must not change with a new version of the server
    assert make(connection, "root").id == "f576e9b522325b3669e0b8f6753f2057c251c4b91bc4be651bd1204e73597a0c"


def test_the_log_never_shows_a_parent_before_its_child(connection: sqlite3.Connection) -> None:
    root = make(connection, "root")
    left, right = make(connection, "left", root), make(connection, "right", root)
    merge = make(connection, "merge", left, right)
    top = make(connection, "top", merge)
    shown = [commit.message for commit in history.log(connection, top)]
    assert shown == ["top", "merge", "right", "left", "root"]
    assert [commit.message for commit in history.log(connection, top, first_parent=True)] == [
        "top",
        "merge",
        "left",
        "root",
    ]


def test_the_common_ancestor_is_the_nearest(connection: sqlite3.Connection) -> None:
    root = make(connection, "root")
    fork = make(connection, "fork", root)
    left = make(connection, "left", make(connection, "l1", fork))
    right = make(connection, "right", fork)
    merged = make(connection, "merged", left, right)
    assert history.merge_base(connection, left, right) == fork
    assert history.merge_base(connection, merged, right) == right
    assert history.merge_base(connection, root, merged) == root
    assert history.merge_base(connection, fork, fork) == fork


def test_expressions_resolve_in_order_and_step_back(connection: sqlite3.Connection) -> None:
    root = make(connection, "root")
    left, right = make(connection, "left", root), make(connection, "right", root)
    merge = make(connection, "merge", left, right)
    connection.execute("INSERT INTO branches VALUES ('main', ?, 0)", (merge.id,))
    connection.execute("INSERT INTO tags VALUES ('v1', ?)", (left.id,))
    wanted = {
        "main": merge, "main@": merge, "main$": merge, "main~": left, "main~2": root, "main^2": right,
        "main^2~1": root, "main^0": merge, "v1": left, "v1^": root, right.id: right, right.id[:16]: right,
        f"{merge.id}~1^1": root,
    }  # fmt: skip
    assert {text: references.resolve(connection, text).commit for text in wanted} == wanted
    assert references.resolve(connection, "main").branch == "main"
    assert references.resolve(connection, "main@").branch is None
    assert references.resolve(connection, "main~0").branch is None


MEANINGLESS = {"": 400, "~1": 400, "main~x": 400, "v1$": 400, "absent": 404, "v1^2": 404, "v1~9": 404}


@pytest.mark.parametrize(("text", "status"), MEANINGLESS.items())
def test_expressions_that_name_nothing_are_refused(connection: sqlite3.Connection, text: str, status: int) -> None:
    connection.execute("INSERT INTO tags VALUES ('v1', ?)", (make(connection, "root").id,))
    with pytest.raises(RefusalError) as refused:
        references.resolve(connection, text)
    assert refused.value.status == status


def test_an_interrupted_write_changes_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "meta.db")
    with pytest.raises(KeyboardInterrupt), database.writing() as connection:
        connection.execute("INSERT INTO tags VALUES ('v1', 'x')")
        raise KeyboardInterrupt
    with database.reading() as connection:
        assert references.target(connection, "tag", "v1") is None


def test_a_folder_of_another_format_is_refused_with_what_to_do(tmp_path: Path) -> None:
    database = Database(tmp_path / "meta.db")
    with database.writing() as connection:
        connection.execute("PRAGMA user_version = 1")
    database.close()
    with pytest.raises(ConfigurationError, match=r"format 1, expected 3.*make clean"):
        Database(tmp_path / "meta.db")


def test_uploads_of_the_format_before_are_taken_along(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "meta.db") as connection:
        connection.executescript(
            "CREATE TABLE uploads (id TEXT PRIMARY KEY, sha256 TEXT, md5 TEXT, size INTEGER);"
            "INSERT INTO uploads VALUES ('u', 's', 'm', 1); PRAGMA user_version = 2"
        )
    connection.close()
    for _ in range(2):
        database = Database(tmp_path / "meta.db")
        with database.reading() as connection:
            rows = connection.execute("SELECT id, sha256, md5, size, created FROM uploads").fetchall()
        database.close()
        assert [row[:4] for row in rows] == [("u", "s", "m", 1)]
        assert abs(rows[0][4] - time.time()) < 60


def test_a_refused_commit_leaves_no_transaction_behind(tmp_path: Path) -> None:
    database = Database(tmp_path / "meta.db")
    with database.writing() as connection:
        connection.execute("PRAGMA max_page_count = 1")  # this connection's disk is full now
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError, match="full"), database.writing() as connection:
            connection.executemany("INSERT INTO tags VALUES (?, ?)", [(f"{n}", "x" * 9000) for n in range(9)])
    with database.writing() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
        connection.execute("INSERT INTO tags VALUES ('v1', 'x')")
    with database.reading() as connection:
        assert references.names(connection, "tag", prefix="", after="", amount=10) == [("v1", "x")]
