"""Log, listing, differences and merge of random histories agree with a model of dictionaries."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import takewhile
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.embedded.lakefs_server import model
from tests.unit.embedded.lakefs_server.histories import (
    EPOCH,
    HOUR,
    PATHS,
    History,
    Lake,
    Step,
    branch,
    changes,
    hour,
    path,
    prefix,
    ref,
    serving,
    steps,
)

Query = dict[str, Any]

FEW = settings(max_examples=20, deadline=None)
amount = st.sampled_from([1, 3, 7, 1000])
view = st.fixed_dictionaries({
    "amount": amount,
    "prefix": prefix,
    "delimiter": st.sampled_from(["/", "", "//", "é", "é/"]),
    "after": st.sampled_from(["", *PATHS, "a/b/", "b/", "b/é", "none"]),
})  # fmt: skip
views = st.lists(view, min_size=3, max_size=3)
"""How listings and differences are looked at."""
log_queries = st.lists(
    st.fixed_dictionaries({
        "amount": amount,
        "first_parent": st.booleans(),
        "stop_at": st.just("") | ref,
        "since": st.just("") | hour.map(lambda hour: datetime.fromtimestamp(EPOCH + hour * HOUR, UTC).isoformat()),
        "objects": st.lists(path, max_size=2),
        "prefixes": st.lists(prefix, max_size=1),
    }),
    min_size=5,
    max_size=5,
)  # fmt: skip


@pytest.fixture(scope="module")
def lake() -> Iterator[Lake]:
    with serving() as lake:
        yield lake


def log(history: History, ref: str, **query: Any) -> list[str]:
    return [shown["id"] for shown in history.pages(f"refs/{ref}/commits", **query)]


def filtered_log(history: History, branch: str, query: Query) -> list[str]:
    """What the model keeps of the whole log: up to a commit, up to a date, and of that what changed certain paths."""
    found = log(history, branch, first_parent=query["first_parent"])
    if query["stop_at"] and (end := history.head(query["stop_at"])) in found:
        found = found[: found.index(end) + 1]
    if query["since"]:
        oldest = datetime.fromisoformat(query["since"]).timestamp()
        found = list(takewhile(lambda commit: history.commits[commit].created >= oldest, found))
    objects, prefixes = query["objects"], tuple(query["prefixes"])
    if not objects and not prefixes:
        return found
    changed = {commit: model.changed_paths(history.commits, commit) for commit in found}
    return [one for one in found if any(path in objects or path.startswith(prefixes) for path in changed[one])]


def version(shown: dict[str, Any]) -> int | None:
    """Of a listed object; a common prefix has none."""
    return int(shown["metadata"]["version"]) if shown["path_type"] == "object" else None


def differences(history: History, url: str, **query: Any) -> list[tuple[str, str]]:
    return [(shown["path"], shown["type"]) for shown in history.pages(url, **query)]


def viewed(found: dict[str, str], view: Query) -> list[tuple[str, str]]:
    names = model.grouped(found, view["prefix"], view["delimiter"], view["after"])
    return [(name, "prefix_changed" if group else found[name]) for name, group in names]


@FEW
@given(steps=steps, ref=ref, amount=amount)
def test_the_log_shows_every_ancestor_once_and_no_parent_before_its_child(
    lake: Lake, steps: list[Step], ref: str, amount: int
) -> None:
    history = lake.played(steps)
    shown = history.pages(f"refs/{ref}/commits")
    ids = [commit["id"] for commit in shown]
    assert sorted(ids) == sorted(model.ancestors(history.commits, history.head(ref)))
    for commit in shown:
        made = history.commits[commit["id"]]
        assert (tuple(commit["parents"]), commit["creation_date"]) == (made.parents, made.created)
        assert all(ids.index(commit["id"]) < ids.index(parent) for parent in made.parents)
    assert log(history, ref, amount=amount) == ids
    firsts = list(model.first_parents(history.commits, history.head(ref)))
    assert log(history, ref, first_parent=True, amount=amount) == firsts


@FEW
@given(steps=steps, branch=branch, queries=log_queries)
def test_the_log_ends_where_it_is_told_and_shows_the_commits_that_changed_the_paths_asked_for(
    lake: Lake, steps: list[Step], branch: str, queries: list[Query]
) -> None:
    history = lake.played(steps)
    for query in queries:
        assert log(history, branch, **query) == filtered_log(history, branch, query)


@FEW
@given(steps=steps, branch=branch, staged=changes, views=views)
def test_a_listing_is_the_sorted_paths_of_commit_and_staging_filtered_and_grouped(
    lake: Lake, steps: list[Step], branch: str, staged: dict[str, int | None], views: list[Query]
) -> None:
    history = lake.played(steps)
    history.stage(branch, staged)
    for expression, content in ((branch, history.content(branch)), (f"{branch}@", history.committed(branch))):
        for view in views:
            names = model.grouped(content, view["prefix"], view["delimiter"], view["after"])
            found = history.pages(f"refs/{expression}/objects/ls", **view)
            shown = [(one["path"], version(one)) for one in found]
            assert shown == [(name, None if group else content[name]) for name, group in names]


@FEW
@given(steps=steps, left=ref, right=branch, staged=changes, dropped=prefix, views=views)
def test_differences_and_uncommitted_changes_are_those_of_the_contents(
    lake: Lake,
    steps: list[Step],
    left: str,
    right: str,
    staged: dict[str, int | None],
    dropped: str,
    views: list[Query],
) -> None:
    history = lake.played(steps)
    history.stage(right, staged)
    history.reset(right, dropped)
    committed = model.differences(history.committed(left), history.committed(right))
    uncommitted = model.differences(history.committed(right), history.content(right))
    for view in views:
        two_dot = differences(history, f"refs/{left}/diff/{right}", type="two_dot", **view)
        assert two_dot == viewed(committed, view)
        assert differences(history, f"branches/{right}/diff", **view) == viewed(uncommitted, view)


CRISS_CROSS: list[Step] = [
    partial(History.commit, branch="main", changes={"a": 1, "b//a": 1}, hour=1),
    partial(History.commit, branch="one", changes={"a/a": 1, "b//a": 2}, hour=1),
    partial(History.merge, source="one", destination="main", strategy="source-wins"),
    partial(History.merge, source="main~", destination="one", strategy="source-wins"),
]
"""Afterwards the two branches have two best common ancestors."""


@FEW
@example(steps=CRISS_CROSS, source="one", destination="main", views=[])
@given(steps=steps, source=ref, destination=branch, views=views)
def test_a_merge_brings_what_the_three_dot_difference_shows_and_conflicts_where_it_says_so(
    lake: Lake, steps: list[Step], source: str, destination: str, views: list[Query]
) -> None:
    history = lake.played(steps)
    history.reset(destination, "")
    before = history.heads[destination]
    content, conflicts = history.merged(source, destination)
    brought = model.differences(history.committed(destination), content)
    found = dict(sorted({**brought, **dict.fromkeys(conflicts, "conflict")}.items()))
    url = f"refs/{destination}/diff/{history.head(source)}"
    assert differences(history, url) == list(found.items())
    for view in views:
        assert differences(history, url, **view) == viewed(found, view)
    history.merge(source, destination)
    listed = {one["path"]: version(one) for one in history.pages(f"refs/{destination}/objects/ls")}
    assert listed == history.committed(destination)
    if not conflicts:
        assert differences(history, f"refs/{before}/diff/{destination}", type="two_dot") == list(brought.items())
        assert differences(history, url) == []
