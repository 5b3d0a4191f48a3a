"""Collection and what comes between its batches: one case after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slipway.embedded.lakefs_server import branches, fsck, gc, references
from slipway.embedded.lakefs_server.presigned import remember_upload
from slipway.embedded.lakefs_server.refusal import RefusalError
from slipway.embedded.lakefs_server.repository import Catalog, Repository
from slipway.embedded.lakefs_server.trees import Entry, sha256_of
from tests.unit.embedded.lakefs_server.repositories import files, put, store

HOUR = 3600


class Interrupted(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Catalog(tmp_path).create("collected", "local://collected", "main")


def test_the_digest_of_an_entry_is_where_it_is_looked_for() -> None:
    for size in (0, 200, 2**40):
        entry = Entry("ab" * 32, "cd" * 16, size, "text/plain", {"a": "b" * size} if size < 2**20 else {})
        assert sha256_of(entry.encode()).hex() == entry.sha256


def during_the_sweep(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """``act`` once, after marking and before the first batch."""
    todo = [act]
    monkeypatch.setattr(gc.time, "sleep", lambda _: todo.pop()() if todo else None)


def dropped_commit(repository: Repository, *, and_its_parent: bool = False) -> str:
    """The id of a commit whose branch is gone."""
    branches.create_branch(repository, "dropped", "main")
    for number in range(2 if and_its_parent else 1):
        put(repository, "dropped", f"path{number}", b"dropped %d" % number)
        made = branches.commit(repository, "dropped", "dropped", {})
    branches.delete_branch(repository, "dropped")
    return made.id


def findings(tmp_path: Path) -> list[fsck.Finding]:
    return list(fsck.check(tmp_path, deep=True, progress=lambda *_: None))


def test_a_branch_made_at_an_orphan_commit_during_the_sweep_keeps_it(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = dropped_commit(repository)
    during_the_sweep(monkeypatch, lambda: branches.create_branch(repository, "revived", orphan))
    done = gc.collect(repository, time.time_ns())
    assert (done.commits, done.objects) == (0, 0)
    assert branches.find(repository, "branch", "revived") == orphan
    assert findings(tmp_path) == []


def test_a_node_written_again_during_the_sweep_stays(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped_commit(repository)
    gc.collect(repository, time.time_ns() - HOUR * 10**9)  # nothing is old enough
    branches.create_branch(repository, "again", "main")

    def again() -> None:
        put(repository, "again", "path0", b"dropped 0")
        branches.commit(repository, "again", "the same tree as that of the orphan", {})

    with repository.database.writing() as connection:  # as if a kill had come between commits and nodes
        connection.execute("DELETE FROM commits WHERE id NOT IN (SELECT commit_id FROM branches)")
    during_the_sweep(monkeypatch, again)
    gc.collect(repository, time.time_ns())
    assert findings(tmp_path) == []


def test_a_kill_after_any_batch_leaves_commits_with_their_parents(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped_commit(repository, and_its_parent=True)
    monkeypatch.setattr(gc, "BATCH", 1)
    batches = iter(range(1))

    def die() -> None:
        if next(batches, None) is None:
            raise Interrupted

    monkeypatch.setattr(gc.time, "sleep", lambda _: die())
    with pytest.raises(Interrupted):
        gc.collect(repository, time.time_ns())
    assert findings(tmp_path) == []


def test_an_old_object_uploaded_again_during_the_sweep_can_be_linked(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = store(repository, b"old")
    during_the_sweep(monkeypatch, lambda: remember_upload(repository, "a" * 32, blob))
    assert gc.collect(repository, time.time_ns()).objects == 0
    assert findings(tmp_path) == []


def test_an_upload_of_collected_bytes_is_not_remembered(repository: Repository, tmp_path: Path) -> None:
    blob = store(repository, b"old")
    assert gc.collect(repository, time.time_ns()).objects == 1
    with pytest.raises(RefusalError, match="upload it again"):
        remember_upload(repository, "a" * 32, blob)
    assert findings(tmp_path) == []


def test_a_young_orphan_and_a_young_upload_stay(repository: Repository, tmp_path: Path) -> None:
    orphan = dropped_commit(repository, and_its_parent=True)
    remember_upload(repository, "a" * 32, store(repository, b"not linked yet"))
    done = gc.collect(repository, time.time_ns() - HOUR * 10**9)
    assert (done.commits, done.nodes, done.objects, done.uploads) == (0, 0, 0, 0)
    assert branches.create_branch(repository, "revived", orphan) == orphan
    assert findings(tmp_path) == []


def test_an_upload_finished_during_the_sweep_is_not_deleted_with_its_old_twin(repository: Repository) -> None:
    path = repository.blobs.path(store(repository, b"twin").sha256)
    cutoff = time.time_ns()
    put(repository, "main", "twin", b"twin")
    assert repository.blobs.remove_older(path, cutoff) is None
    assert path.read_bytes() == b"twin"


def test_an_upload_of_the_second_under_way_keeps_its_object(repository: Repository, tmp_path: Path) -> None:
    for number in range(3):  # of three in a row, two at least fall into one second
        remember_upload(repository, f"{number:032x}", store(repository, b"upload %d" % number))
        gc.collect(repository, time.time_ns())
        assert findings(tmp_path) == []


def test_the_ancestors_of_a_branch_and_of_a_tag_stay(repository: Repository, tmp_path: Path) -> None:
    for number in range(3):
        put(repository, "main", "path", b"version %d" % number)
        branches.commit(repository, "main", f"version {number}", {})
    branches.create_branch(repository, "tagged", "main~1")
    put(repository, "tagged", "path", b"tagged")
    branches.commit(repository, "tagged", "tagged", {})
    branches.create_tag(repository, "v1", "tagged")
    branches.delete_branch(repository, "tagged")
    done = gc.collect(repository, time.time_ns())
    assert (done.commits, done.objects) == (0, 0)
    assert findings(tmp_path) == []


def test_a_damaged_repository_is_left_alone(repository: Repository, tmp_path: Path) -> None:
    put(repository, "main", "a", b"in use")
    branches.commit(repository, "main", "one", {})
    store(repository, b"unused")
    with repository.database.writing() as connection:
        connection.execute("DELETE FROM nodes WHERE id = ?", (references.head(connection, "main").tree,))
    before = files(tmp_path / "repositories" / "collected")
    with pytest.raises(RefusalError, match="slipway lake fsck"):
        gc.collect(repository, time.time_ns())
    assert files(tmp_path / "repositories" / "collected") == before
