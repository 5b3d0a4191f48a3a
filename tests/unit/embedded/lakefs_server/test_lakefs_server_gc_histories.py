"""Collection against a reference model: what is in use or young stays, everything else goes, whatever comes between."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import md5, sha256
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from slipway.embedded.lakefs_server import (
    blobs,
    branches,
    fsck,
    gc,
    gc_mark,
    history,
    nodes,
    presigned,
    staging,
)
from slipway.embedded.lakefs_server.presigned import remember_upload
from slipway.embedded.lakefs_server.refusal import RefusalError
from slipway.embedded.lakefs_server.repository import Catalog
from slipway.embedded.lakefs_server.trees import NO_ENTRIES, Entry
from tests.unit.embedded.lakefs_server.repositories import entry_of, files, put, store

HOUR = 3600
CONTENT = st.integers(0, 12).map(lambda number: b"content %d" % number)
PATH = st.integers(0, 9).map(lambda number: f"folder/{number}")
NAME = st.sampled_from(["a", "b"])
TAG = st.sampled_from(["v1", "v2"])
AGE = st.sampled_from([0, 1, 5, 24])


class Clock:
    """Stands still, and moves when told."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000

    def time(self) -> float:
        return float(self.seconds)

    def time_ns(self) -> int:
        return self.seconds * 1_000_000_000

    def sleep(self, seconds: float) -> None:
        pass

    def perf_counter(self) -> float:
        return float(self.seconds)


@dataclass(frozen=True)
class Made:
    """A commit as it was when it was made."""

    parents: tuple[str, ...]
    objects: frozenset[str]
    nodes: frozenset[bytes]
    created_ns: int


class Interrupted(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class Histories(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.clock = Clock()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(nodes, "_BITS", 1)
        self.patch.setattr(gc, "BATCH", 2)
        for module in (blobs, presigned, history, staging, gc, gc_mark):
            self.patch.setattr(module, "time", self.clock)
        self.folder = tempfile.TemporaryDirectory(prefix="slipway-gc-")
        self.data = Path(self.folder.name)
        self.catalog = Catalog(self.data)
        self.repository = self.catalog.create("collected", "local://collected", "main")
        self.commits: dict[str, Made] = {}
        self.touched: dict[str, int] = {}
        self.uploads: dict[str, tuple[Entry, int]] = {}
        self._learn(branches.find(self.repository, "branch", "main"))

    def teardown(self) -> None:
        if hasattr(self, "patch"):
            self.patch.undo()
            self.catalog.close()
            self.folder.cleanup()

    # what happens

    @rule(
        branch=NAME, path=PATH, content=CONTENT, end=st.sampled_from(["kept", "merged", "dropped", "squashed", "tag"])
    )
    def run(self, branch: str, path: str, content: bytes, end: str) -> None:
        """What a pipeline's run does; ``dropped`` leaves an orphan commit."""
        self._branch(branch, "main")
        self.write(branch, path, content)
        self.commit(branch)
        if end in ("merged", "squashed"):
            self.merge(branch, "main", end == "squashed")
        if end == "tag":
            self.tag("v1", branch)
        if end != "kept":
            self.delete_branch(branch)

    @rule(branch=NAME | st.just("main"), path=PATH, content=CONTENT)
    def write(self, branch: str, path: str, content: bytes) -> None:
        self._touch(entry_of(store(self.repository, content)))
        with suppress(RefusalError):  # no such branch: the bytes were uploaded for nothing
            put(self.repository, branch, path, content)

    @rule(branch=NAME | st.just("main"), path=PATH)
    def remove(self, branch: str, path: str) -> None:
        with suppress(RefusalError):
            staging.remove(self.repository, branch, [path.encode()])

    @rule(branch=NAME, path=PATH, content=CONTENT)
    def copy_what_may_be_gone(self, branch: str, path: str, content: bytes) -> None:
        self._put_entry(branch, path, entry_of_content(content))

    @rule(content=CONTENT)
    def upload(self, content: bytes) -> None:
        blob = store(self.repository, content)
        name = f"{len(self.uploads):032x}"
        remember_upload(self.repository, name, blob)
        self._touch(entry_of(blob))
        self.uploads[name] = (entry_of(blob), self.clock.seconds)

    @precondition(lambda self: self.uploads)
    @rule(data=st.data(), branch=NAME, path=PATH)
    def link(self, data: st.DataObject, branch: str, path: str) -> None:
        entry, _ = self.uploads[data.draw(st.sampled_from(sorted(self.uploads)))]
        self._put_entry(branch, path, entry)

    @rule(branch=NAME | st.just("main"))
    def commit(self, branch: str) -> None:
        with suppress(RefusalError):
            self._learn(branches.commit(self.repository, branch, f"at {self.clock.seconds}", {}).id)

    @rule(source=NAME | TAG, destination=NAME | st.just("main"), squash=st.booleans())
    def merge(self, source: str, destination: str, squash: bool) -> None:
        with suppress(RefusalError):
            made = branches.merge_into(
                self.repository, source, destination, None, {}, strategy="source-wins", squash=squash
            )
            self._learn(made.id)

    @rule(name=NAME, data=st.data())
    def branch(self, name: str, data: st.DataObject) -> None:
        self._branch(name, data.draw(st.sampled_from(sorted(self.commits))))

    @rule(name=NAME)
    def branch_off_main(self, name: str) -> None:
        self._branch(name, "main")

    @rule(name=NAME)
    def delete_branch(self, name: str) -> None:
        with suppress(RefusalError):
            branches.delete_branch(self.repository, name)

    @rule(name=TAG, ref=NAME)
    def tag(self, name: str, ref: str) -> None:
        with suppress(RefusalError):
            branches.create_tag(self.repository, name, ref)

    @rule(name=TAG)
    def delete_tag(self, name: str) -> None:
        with suppress(RefusalError):
            branches.delete_tag(self.repository, name)

    @rule(hours=st.integers(1, 30))
    def time_passes(self, hours: int) -> None:
        self.clock.seconds += hours * HOUR

    # collecting

    @rule(age=AGE)
    def collect(self, age: int) -> None:
        cutoff = self.clock.seconds - age * HOUR
        commits, objects, uploads = self._expected(cutoff)
        held = set(self.commits), self._files(), set(self.uploads)
        would = gc.collect(self.repository, cutoff * 10**9, dry_run=True)
        assert (set(self._column("commits")), self._files()) == held[:2]
        done = gc.collect(self.repository, cutoff * 10**9)
        assert (done.commits, done.nodes, done.objects, done.bytes, done.uploads) == (
            would.commits, would.nodes, would.objects, would.bytes, would.uploads
        )  # fmt: skip
        assert set(self._column("commits")) == commits
        assert self._files() == objects
        assert set(self._column("uploads")) == uploads
        assert set(self._column("nodes")) == self._nodes_of(commits)
        assert done.objects == len(held[1] - objects)
        self._forget()

    @rule(age=AGE, meanwhile=st.lists(st.sampled_from(["revive", "rewrite", "copy", "commit", "drop"]), min_size=1))
    def collect_while_others_write(self, age: int, meanwhile: list[str]) -> None:
        todo = iter(meanwhile)

        def act() -> None:
            {
                "revive": lambda: self._branch("a", sorted(self.commits)[0]),
                "rewrite": lambda: self.write("a", "folder/1", b"content 1"),
                "copy": lambda: self._put_entry("a", "folder/2", entry_of_content(b"content 2")),
                "commit": lambda: self.commit("a"),
                "drop": lambda: self.delete_branch("a"),
                "none": lambda: None,
            }[next(todo, "none")]()

        self._collect_disturbed(age, act)

    @rule(age=AGE, batches=st.integers(0, 12))
    def collect_until_killed(self, age: int, batches: int) -> None:
        left = iter(range(batches))

        def die() -> None:
            if next(left, None) is None:
                raise Interrupted

        with suppress(Interrupted):
            self._collect_disturbed(age, die)
        self.catalog.close()
        self.catalog = Catalog(self.data)  # a new process, which remembers nothing
        self.repository = self.catalog.get("collected")
        self._forget()

    def _collect_disturbed(self, age: int, disturb: Callable[[], None]) -> None:
        """``disturb`` runs before every batch of the sweep."""
        sleep = self.clock.sleep
        self.clock.sleep = lambda _: disturb()  # type: ignore[method-assign]
        try:
            gc.collect(self.repository, (self.clock.seconds - age * HOUR) * 10**9)
        finally:
            self.clock.sleep = sleep  # type: ignore[method-assign]
        self._forget()

    # what must hold

    @invariant()
    def all_that_is_reachable_is_there(self) -> None:
        if not hasattr(self, "repository"):
            return
        present, on_disk = set(self._column("commits")), self._files()
        for commit in self._reachable(self._heads()):
            assert commit in present
            assert self.commits[commit].objects <= on_disk
        findings = fsck.check_repository(self.data / "repositories" / "collected", deep=False, progress=lambda *_: None)
        assert list(findings) == []

    # the model

    def _touch(self, entry: Entry) -> None:
        self.touched[entry.sha256] = self.clock.time_ns()

    def _put_entry(self, branch: str, path: str, entry: Entry) -> None:
        """As a link or a copy does: the bytes may have been collected."""
        here = entry.sha256 in self._files()
        try:
            staging.put(self.repository, branch, path.encode(), entry)
        except RefusalError as refused:
            assert refused.status == 404 or (refused.status == 410 and not here)
        else:
            assert here
            self._touch(entry)

    def _branch(self, name: str, source: str) -> None:
        with suppress(RefusalError):
            branches.create_branch(self.repository, name, source)

    def _learn(self, commit_id: str) -> None:
        with self.repository.database.reading() as connection:
            commit = history.load(connection, commit_id)
            trees = self.repository.trees(connection)
            objects = {Entry.decode(entry).sha256 for _, entry, _ in trees.walk(commit.tree)}
            found: set[bytes] = set()
            waiting = [commit.tree]
            while waiting:
                found.add(identity := waiting.pop())
                node = trees.nodes.read(identity)
                waiting += node.values if node.height else []
        self.commits[commit_id] = Made(commit.parents, frozenset(objects), frozenset(found), commit.created_ns)

    def _heads(self) -> set[str]:
        with self.repository.database.reading() as connection:
            query = "SELECT commit_id FROM branches UNION SELECT commit_id FROM tags"
            return {row[0] for row in connection.execute(query)}

    def _reachable(self, heads: set[str]) -> set[str]:
        found: set[str] = set()
        waiting = list(heads)
        while waiting:
            commit = waiting.pop()
            if commit not in found:
                found.add(commit)
                waiting += self.commits[commit].parents
        return found

    def _expected(self, cutoff: int) -> tuple[set[str], set[str], set[str]]:
        """Commits, objects and uploads that must be left: no more and no less."""
        young = {one for one, made in self.commits.items() if made.created_ns >= cutoff * 10**9}
        commits = self._reachable(self._heads() | young)
        uploads = {name for name, (_, created) in self.uploads.items() if created >= cutoff}
        objects = {digest for one in commits for digest in self.commits[one].objects}
        objects |= {self.uploads[name][0].sha256 for name in uploads}
        objects |= {digest for digest, at in self.touched.items() if at >= cutoff * 10**9}
        with self.repository.database.reading() as connection:
            staged = connection.execute("SELECT entry FROM staging WHERE entry IS NOT NULL").fetchall()
        objects |= {Entry.decode(row[0]).sha256 for row in staged}
        return commits, objects & self._files(), uploads

    def _nodes_of(self, commits: set[str]) -> set[bytes]:
        return {NO_ENTRIES}.union(*(self.commits[one].nodes for one in commits))

    def _forget(self) -> None:
        """Of what was collected nothing more is expected."""
        left, uploads = set(self._column("commits")), set(self._column("uploads"))
        self.commits = {one: made for one, made in self.commits.items() if one in left}
        self.uploads = {one: upload for one, upload in self.uploads.items() if one in uploads}

    def _column(self, table: str) -> list[str]:
        with self.repository.database.reading() as connection:
            return [row[0] for row in connection.execute(f"SELECT id FROM {table}")]  # noqa: S608

    def _files(self) -> set[str]:
        return files(self.data / "repositories" / "collected")


def entry_of_content(content: bytes) -> Entry:
    return Entry(
        sha256(content).hexdigest(), md5(content, usedforsecurity=False).hexdigest(), len(content), "text/plain"
    )


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
