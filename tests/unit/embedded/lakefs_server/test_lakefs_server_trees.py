"""Trees, differences, listing and merge agree with plain dictionaries of paths."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.embedded.lakefs_server.compare import Strategy, differences, merge
from slipway.embedded.lakefs_server.trees import Entry, Tree, TreeStore

SEGMENT = st.sampled_from(["a", "b", "a-", "a0", "", "+a", "=a", ".git", "é"])
PATH = st.lists(SEGMENT, min_size=1, max_size=4).map("/".join).filter(bool).map(str.encode)
VERSION = st.integers(0, 2)
MODEL = st.dictionaries(PATH, VERSION, max_size=8)
Model = dict[bytes, int]
MEMORY = next((path for path in ("/dev/shm",) if Path(path).is_dir()), None)
"""A folder where syncing to disk costs nothing, as hundreds of small trees are written."""


@pytest.fixture(scope="module")
def store() -> Iterator[TreeStore]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield TreeStore(Path(folder))


def entry(version: int) -> Entry:
    return Entry(f"{version:064x}", f"{version:032x}", version, "text/plain")


def tree_of(store: TreeStore, model: Model) -> bytes:
    return store.apply(store.empty, {path: store.write_entry(entry(version)) for path, version in model.items()})


def model_of(store: TreeStore, tree: bytes) -> Model:
    return {path: store.entry(identity).size for path, identity in store.walk(tree)}


def model_merge(base: Model, ours: Model, theirs: Model, strategy: Strategy) -> tuple[Model, list[bytes]]:
    merged, conflicts = dict(ours), []
    for path in sorted(base.keys() | theirs.keys() | ours.keys()):
        was, mine, other = base.get(path), ours.get(path), theirs.get(path)
        if other == was or mine == other:
            continue
        take = other
        if mine != was and strategy != "source-wins":
            take = mine
            if not strategy:
                conflicts.append(path)
        if take is None:
            merged.pop(path, None)
        else:
            merged[path] = take
    return merged, conflicts


@settings(max_examples=40, deadline=None)
@given(model=MODEL)
def test_a_tree_holds_what_was_put_in_and_lists_it_in_byte_order(store: TreeStore, model: Model) -> None:
    tree = tree_of(store, model)
    assert list(model_of(store, tree).items()) == sorted(model.items())
    for path, version in model.items():
        found = store.lookup(tree, path)
        assert found is not None
        assert store.entry(found) == entry(version)


@settings(max_examples=40, deadline=None)
@given(model=MODEL, change=st.dictionaries(PATH, VERSION | st.none(), max_size=6))
def test_equal_content_has_equal_trees_whatever_the_way_there(
    store: TreeStore, model: Model, change: dict[bytes, int | None]
) -> None:
    wanted = {path: version for path, version in {**model, **change}.items() if version is not None}
    ids = {path: None if version is None else store.write_entry(entry(version)) for path, version in change.items()}
    assert store.apply(tree_of(store, model), ids) == tree_of(store, wanted)


@settings(max_examples=40, deadline=None)
@given(model=MODEL, prefix=st.just(b"") | PATH, start=st.just(b"") | PATH)
def test_walking_a_range_is_filtering_the_whole(store: TreeStore, model: Model, prefix: bytes, start: bytes) -> None:
    expected = sorted(path for path in model if path.startswith(prefix) and path >= start)
    assert [path for path, _ in store.walk(tree_of(store, model), prefix, start)] == expected


@settings(max_examples=40, deadline=None)
@given(left=MODEL, right=MODEL, prefix=st.just(b"") | PATH, after=st.just(b"") | PATH)
def test_differences_are_those_of_the_dictionaries(
    store: TreeStore, left: Model, right: Model, prefix: bytes, after: bytes
) -> None:
    found = differences(store, tree_of(store, left), tree_of(store, right), prefix=prefix, after=after)
    paths = sorted(path for path in left.keys() | right.keys() if left.get(path) != right.get(path))
    kinds = {path: "added" if path not in left else "changed" if path in right else "removed" for path in paths}
    expected = [(path, kinds[path]) for path in paths if path.startswith(prefix) and path > after]
    assert [(one.path, one.kind) for one in found] == expected


@settings(max_examples=100, deadline=None)
@given(base=MODEL, ours=MODEL, theirs=MODEL, strategy=st.sampled_from(["", "source-wins", "dest-wins"]), data=st.data())
def test_merge_does_what_a_dictionary_merge_does(
    store: TreeStore, base: Model, ours: Model, theirs: Model, strategy: Strategy, data: st.DataObject
) -> None:
    if data.draw(st.booleans()):  # sides that share most of the base, as real ones do
        ours, theirs = {**base, **dict(list(ours.items())[:2])}, {**base, **dict(list(theirs.items())[:2])}
    sides = [tree_of(store, side) for side in (base, ours, theirs)]
    merged = merge(store, sides[0], sides[1], sides[2], strategy)
    expected, conflicts = model_merge(base, ours, theirs, strategy)
    assert list(merged.conflicts) == conflicts
    assert merged.tree == tree_of(store, expected)


class CountingStore(TreeStore):
    """A store that notes which trees it is asked for."""

    reads = 0

    def tree(self, identity: bytes | None) -> Tree:
        self.reads += 1
        return super().tree(identity)


def test_merge_and_difference_read_only_what_changed() -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        store = CountingStore(Path(folder))
        base = tree_of(store, {f"{folder:03}/{name:02}".encode(): 1 for folder in range(40) for name in range(5)})
        ours = store.apply(base, {b"007/01": store.write_entry(entry(2))})
        theirs = store.apply(base, {b"030/new": store.write_entry(entry(2))})
        store.reads = 0
        assert [one.path for one in differences(store, base, ours)] == [b"007/01"]
        assert store.reads == 4  # the root and one folder of either side
        store.reads = 0
        assert not merge(store, base, ours, theirs).conflicts
        assert store.reads == 3  # the roots only: each folder changed on one side
