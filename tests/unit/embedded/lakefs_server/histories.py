"""Random histories, made of a served repository and of its model at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from itertools import count
from operator import add
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from hypothesis import strategies as st

from slipway.embedded.lakefs_server import branches, history, nodes, references, staging
from slipway.embedded.lakefs_server.app import create_app
from slipway.embedded.lakefs_server.compare import Strategy
from slipway.embedded.lakefs_server.refusal import RefusalError
from slipway.embedded.lakefs_server.repository import Catalog, Repository
from slipway.embedded.lakefs_server.signing import Credentials
from tests.unit.embedded.lakefs_server import model
from tests.unit.embedded.lakefs_server.model import Made
from tests.unit.embedded.lakefs_server.repositories import entry_of, store

BRANCHES = ("main", "one", "two")
PATHS = ("a", "a/", "a/a", "a/b/c", "a-", "a0", "aé", "b//a", "b/é/a", "b/é/é", "é", "é/a", "𝄞/a")
EPOCH = 1_700_000_000
HOUR = 3600
_ALL = 1000

branch = st.sampled_from(BRANCHES)
ref = st.builds(add, branch, st.sampled_from(["", "", "~"]))
"""A branch, or the commit before its head."""
path = st.sampled_from(PATHS)
hour = st.integers(0, 9)
prefix = st.sampled_from(["", "a", "a/", "b/", "b/é", "é", "none"])
changes = st.dictionaries(path, st.sampled_from([1, 2, 3, None]), min_size=1, max_size=6)
"""A version for each path, or None to delete it."""


class History:
    """A repository with three branches, which begin at one commit, and what it should be by now."""

    def __init__(self, lake: Lake, repository: Repository) -> None:
        self._lake = lake
        self.repository = repository
        entry = entry_of(store(repository, b"content"))
        self._versions = [replace(entry, metadata={"version": str(version)}) for version in range(4)]
        root = branches.find(repository, "branch", "main")
        (first,) = self.pages("refs/main/commits")
        self.commits: dict[str, Made] = {root: Made((), {}, first["creation_date"])}
        self.heads = {"main": root}
        self.staged: dict[str, dict[str, int | None]] = {"main": {}}
        self.commit("main", dict.fromkeys(PATHS[::2], 0), hour=0)
        for name in BRANCHES[1:]:
            self._create(name, "main")

    # what happens

    def stage(self, branch: str, changes: Mapping[str, int | None]) -> None:
        committed, staged = self.committed(branch), self.staged[branch]
        for path, version in changes.items():
            if version is None:
                staging.remove(self.repository, branch, [path.encode()])
            else:
                staging.put(self.repository, branch, path.encode(), self._versions[version])
            staged[path] = version
            if version == committed.get(path):
                del staged[path]

    def reset(self, branch: str, prefix: str) -> None:
        staging.reset(self.repository, branch, prefix.encode(), exact=False)
        kept = {path: version for path, version in self.staged[branch].items() if not path.startswith(prefix)}
        self.staged[branch] = kept

    def commit(self, branch: str, changes: Mapping[str, int | None], hour: int) -> None:
        """Commit what is uncommitted with ``changes``, dated as told: dates need not follow one another."""
        self.stage(branch, changes)
        created = EPOCH + hour * HOUR
        with refused_with(None if self.staged[branch] else HTTPStatus.BAD_REQUEST):
            made = branches.commit(self.repository, branch, f"number {len(self.commits)}", {}, created=created)
            self._advance(branch, made.id, Made((self.heads[branch],), self.content(branch), created))
            self.staged[branch] = {}

    def merge(self, source: str, destination: str, strategy: Strategy = "", squash: bool = False) -> None:
        """Merge a reference into a branch; refused as the model says."""
        ours, theirs = self.heads[destination], self.head(source)
        base = self.merge_base(source, destination)
        content, conflicts = self.merged(source, destination, strategy)
        status = None
        if self.staged[destination] or self.commits[base].content == self.committed(source):
            status = HTTPStatus.BAD_REQUEST
        elif conflicts:
            status = HTTPStatus.CONFLICT
        with refused_with(status):
            made = branches.merge_into(
                self.repository,
                source,
                destination,
                f"number {len(self.commits)}",
                {},
                strategy=strategy,
                squash=squash,
            )
            self._advance(destination, made.id, Made((ours,) if squash else (ours, theirs), content, made.created))

    def restart(self, branch: str, source: str) -> None:
        """Delete a branch, with what is uncommitted, and make it again at another."""
        if branch not in ("main", source):
            branches.delete_branch(self.repository, branch)
            self._create(branch, source)

    def _create(self, name: str, source: str) -> None:
        assert branches.create_branch(self.repository, name, source) == self.heads[source]
        self.heads[name], self.staged[name] = self.heads[source], {}

    def _advance(self, branch: str, commit: str, made: Made) -> None:
        assert branches.find(self.repository, "branch", branch) == commit
        self.commits[commit] = made
        self.heads[branch] = commit

    # what should be

    def head(self, ref: str) -> str:
        """The commit a reference names."""
        named = self.heads[ref.removesuffix("~")]
        return self.commits[named].parents[0] if ref.endswith("~") else named

    def committed(self, ref: str) -> model.Content:
        return self.commits[self.head(ref)].content

    def content(self, branch: str) -> dict[str, int]:
        """With what is uncommitted."""
        return model.without_deleted({**self.committed(branch), **self.staged[branch]})

    def merged(self, source: str, destination: str, strategy: Strategy = "") -> tuple[dict[str, int], list[str]]:
        """What a merge would make, and the paths in conflict."""
        base = self.commits[self.merge_base(source, destination)].content
        return model.merged(base, self.committed(destination), self.committed(source), strategy)

    # what is served

    def merge_base(self, source: str, destination: str) -> str:
        """The common ancestor the server merges with; of several best ones any will do."""
        with self.repository.database.reading() as connection:
            one, other = (references.resolve(connection, ref).commit for ref in (source, destination))
            base = history.merge_base(connection, one, other).id
        assert base in model.best_common_ancestors(self.commits, self.head(source), self.heads[destination])
        return base

    def pages(self, url: str, amount: int = _ALL, after: str = "", **query: Any) -> list[dict[str, Any]]:
        """Everything under ``url``, in pages of ``amount``."""
        found: list[dict[str, Any]] = []
        while True:
            answer = self._get(url, amount=amount, after=after, **query)
            results, more = answer["results"], answer["pagination"]["has_more"]
            found += results
            assert len(results) == amount if more else len(results) <= amount
            assert len(found) <= _ALL, "the pages go round in circles"
            if not more:
                return found
            after = answer["pagination"]["next_offset"]

    def _get(self, url: str, **query: Any) -> dict[str, Any]:
        shown: dict[str, Any] = self._lake.get(f"/repositories/{self.repository.id}/{url}", query)
        return shown


@contextmanager
def refused_with(status: int | None) -> Iterator[None]:
    """What is done in here is to be refused with this status; with None it is to succeed."""
    if status is None:
        yield
        return
    with pytest.raises(RefusalError) as refused:
        yield
    assert refused.value.status == status


Step = Callable[[History], None]
_commit = st.builds(partial, st.just(History.commit), branch=branch, changes=changes, hour=hour)
_merge = st.builds(
    partial,
    st.just(History.merge),
    source=ref,
    destination=branch,
    strategy=st.sampled_from(["", "", "source-wins", "dest-wins"]),
    squash=st.booleans(),
)
_stage = st.builds(partial, st.just(History.stage), branch=branch, changes=changes)
_reset = st.builds(partial, st.just(History.reset), branch=branch, prefix=prefix)
_restart = st.builds(partial, st.just(History.restart), branch=branch, source=branch)
_step = st.sampled_from([*[_commit] * 5, *[_merge] * 4, _stage, _reset, _restart]).flatmap(lambda strategy: strategy)
steps: st.SearchStrategy[list[Step]] = st.lists(_step, min_size=8, max_size=16)


class Lake:
    """A server without a socket; every history is that of a new repository."""

    def __init__(self, data: Path, loop: asyncio.Runner) -> None:
        app = create_app(data, Credentials("key", "secret"))
        self._catalog: Catalog = app.state.server.catalog
        self._numbers = count()
        self._loop = loop
        transport = httpx.ASGITransport(app)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://lake/api/v1", auth=("key", "secret"))

    def get(self, url: str, query: Mapping[str, Any]) -> Any:
        answer = self._loop.run(self._client.get(url, params=query))
        assert answer.status_code == HTTPStatus.OK, answer.text
        return answer.json()

    def played(self, steps: Iterable[Step]) -> History:
        """A new repository with these steps made in it."""
        name = f"history-{next(self._numbers)}"
        played = History(self, self._catalog.create(name, f"local://{name}", "main"))
        for step in steps:
            step(played)
        return played


@contextmanager
def serving() -> Iterator[Lake]:
    """A lake in memory where the system has a folder there, whose nodes have two rows on average.

    Most of the time would go into waiting for a disk; small nodes make many levels of a few paths.
    """
    memory = Path("/dev/shm")
    with (
        pytest.MonkeyPatch.context() as patch,
        TemporaryDirectory(prefix="slipway-histories-", dir=memory if memory.is_dir() else None) as data,
        asyncio.Runner() as loop,
    ):
        patch.setattr(nodes, "_BITS", 1)
        yield Lake(Path(data), loop)
