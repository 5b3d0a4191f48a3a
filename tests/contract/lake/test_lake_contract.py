"""What every lake must do: ``Lake`` on a server and ``LakeSimulator`` alike."""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from slipway.errors import ContractError, LakeConflictError, LakeDeniedError, LakeError, LakeNotFoundError
from slipway.lake import publish as publishing
from slipway.lake.records import ObjectInfo
from slipway.lake.uri import LakeUri
from slipway.quality.report import Verdict
from tests.simulators.death import Death, retried

ALL_PASSED = (Verdict("everything", "pass", ""),)


def publish(lake: Any, repository: str, branch: str, message: str, metadata: dict[str, str]) -> str:
    return publishing.publish(lake, repository, branch, message, metadata, verdicts=ALL_PASSED)


def branch_with(lake: Any, repository: str, name: str, files: dict[str, bytes], source: str = "main") -> None:
    lake.create_branch(repository, name, source)
    for path, data in files.items():
        lake.put(LakeUri(repository, name, path), data)


def published(lake: Any, repository: str, name: str, files: dict[str, bytes], source: str = "main") -> str:
    branch_with(lake, repository, name, files, source)
    return publish(lake, repository, name, f"publish {name}", {})


def test_a_repository_can_be_ensured_twice_and_has_a_first_commit(lake: Any, repository: str) -> None:
    first = lake.resolve(repository, "main")
    lake.ensure_repository(repository)
    assert lake.resolve(repository, "main") == first
    assert re.fullmatch(r"[0-9a-f]{64}", first)
    assert lake.list(LakeUri(repository, "main")) == []


def test_main_refuses_direct_writes_and_commits(lake: Any, repository: str) -> None:
    with pytest.raises(LakeDeniedError):
        lake.put(LakeUri(repository, "main", "a"), b"1")
    with pytest.raises(LakeDeniedError):
        lake.commit(repository, "main", "no", {})


def test_a_new_branch_starts_at_its_source_and_is_adopted_when_made_again(lake: Any, repository: str) -> None:
    head = lake.create_branch(repository, "run", "main")
    assert head == lake.resolve(repository, "main")
    lake.put(LakeUri(repository, "run", "a"), b"1")
    commit = lake.commit(repository, "run", "a", {})
    assert lake.create_branch(repository, "run", "main") == commit


def test_a_branch_off_a_missing_source_is_not_found(lake: Any, repository: str) -> None:
    with pytest.raises(LakeNotFoundError):
        lake.create_branch(repository, "run", "absent")


def test_a_branch_name_lakefs_does_not_accept_is_refused(lake: Any, repository: str) -> None:
    with pytest.raises(LakeError):
        lake.create_branch(repository, "run.2013/01", "main")


def test_branches_are_listed_by_prefix(lake: Any, repository: str) -> None:
    for name in ("run-b", "run-a", "train-a"):
        lake.create_branch(repository, name, "main")
    assert lake.branches(repository, "run-") == ["run-a", "run-b"]
    assert lake.branches(repository) == ["main", "run-a", "run-b", "train-a"]


def test_a_deleted_branch_is_gone_and_deleting_it_again_is_fine(lake: Any, repository: str) -> None:
    branch_with(lake, repository, "run", {"a": b"1"})
    lake.delete_branch(repository, "run")
    lake.delete_branch(repository, "run")
    assert lake.branches(repository) == ["main"]
    with pytest.raises(LakeNotFoundError):
        lake.resolve(repository, "run")


def test_what_is_put_is_read_back_whole_or_in_part(lake: Any, repository: str) -> None:
    branch_with(lake, repository, "run", {"a b/ü+%.bin": bytes(range(256))})
    uri = LakeUri(repository, "run", "a b/ü+%.bin")
    assert lake.get(uri) == bytes(range(256))
    assert lake.get_range(uri, 10, 13) == bytes([10, 11, 12])
    assert lake.get_range(uri, 250, 900) == bytes(range(250, 256))
    assert lake.exists(uri)


def test_an_empty_object_can_be_put_and_read(lake: Any, repository: str) -> None:
    branch_with(lake, repository, "run", {"empty": b""})
    assert lake.get(LakeUri(repository, "run", "empty")) == b""


@pytest.mark.parametrize("missing", ["object", "ref", "repository"])
def test_reading_what_is_missing_is_not_found(lake: Any, repository: str, missing: str) -> None:
    branch_with(lake, repository, "run", {"a": b"1"})
    uri = {
        "object": LakeUri(repository, "run", "b"),
        "ref": LakeUri(repository, "absent", "a"),
        "repository": LakeUri("absent-repository", "run", "a"),
    }[missing]
    with pytest.raises(LakeNotFoundError):
        lake.get(uri)
    assert not lake.exists(uri)


def test_a_list_is_the_folder_and_its_folders_in_byte_order(lake: Any, repository: str) -> None:
    paths = ["f/date=1/b", "f/date=1/B", "f/date=1/x/ä", "f/date=10/b", "f/date=1", "g"]
    branch_with(lake, repository, "run", {path: path.encode() for path in paths})
    listed = lake.list(LakeUri(repository, "run", "f/date=1"))
    assert [found.path for found in listed] == ["f/date=1/B", "f/date=1/b", "f/date=1/x/ä"]
    assert listed[0] == ObjectInfo("f/date=1/B", 10, hashlib.md5(b"f/date=1/B", usedforsecurity=False).hexdigest())
    assert lake.list(LakeUri(repository, "run", "f/date=1/")) == listed
    assert len(lake.list(LakeUri(repository, "run"))) == 6
    with pytest.raises(LakeNotFoundError):
        lake.list(LakeUri(repository, "absent"))


def test_a_deleted_object_is_gone_and_deleting_it_again_is_fine(lake: Any, repository: str) -> None:
    branch_with(lake, repository, "run", {"a": b"1", "b": b"2"})
    lake.commit(repository, "run", "two", {})
    lake.delete(LakeUri(repository, "run", "a"))
    lake.delete(LakeUri(repository, "run", "a"))
    assert not lake.exists(LakeUri(repository, "run", "a"))
    assert lake.exists(LakeUri(repository, "run~0", "a"))
    assert lake.uncommitted(repository, "run") == ("a",)


def test_commits_carry_message_metadata_and_parent(lake: Any, repository: str) -> None:
    branch_with(lake, repository, "run", {"a": b"1"})
    before = lake.resolve(repository, "run")
    commit = lake.commit(repository, "run", "one day", {"slipway.rows.flights": "842"})
    info = lake.commit_info(repository, commit)
    assert (info.id, info.message, info.metadata) == (commit, "one day", {"slipway.rows.flights": "842"})
    assert info.parents == (before,)
    assert info.created > 1_600_000_000
    assert lake.commit_info(repository, "run") == info
    assert [found.id for found in lake.log(repository, "run", 5)] == [commit, before]
    assert len(lake.log(repository, "run", 1)) == 1


def test_a_commit_without_changes_is_the_head(lake: Any, repository: str) -> None:
    branch_with(lake, repository, "run", {"a": b"1"})
    commit = lake.commit(repository, "run", "one", {})
    assert lake.commit(repository, "run", "again", {"other": "metadata"}) == commit


def test_uploading_the_same_bytes_again_is_no_change(lake: Any, repository: str) -> None:
    branch_with(lake, repository, "run", {"a": b"1"})
    commit = lake.commit(repository, "run", "one", {})
    lake.put(LakeUri(repository, "run", "a"), b"1")
    assert lake.commit(repository, "run", "again", {}) == commit
    lake.put(LakeUri(repository, "run", "a"), b"2")
    assert lake.commit(repository, "run", "changed", {}) != commit


def test_what_is_uncommitted_shows_on_its_branch_alone(lake: Any, repository: str) -> None:
    branch_with(lake, repository, "run", {"raw/a": b"1", "quality/a": b"2"})
    assert lake.uncommitted(repository, "run") == ("quality/a", "raw/a")
    assert lake.uncommitted(repository, "run", "raw/") == ("raw/a",)
    assert lake.uncommitted(repository, "run", limit=1) == ("quality/a",)
    head = lake.resolve(repository, "run")
    assert lake.list(LakeUri(repository, head)) == []
    lake.merge(repository, "run", "main", "nothing committed", {})
    assert lake.list(LakeUri(repository, "main")) == []


def test_a_merge_brings_the_changes_and_names_both_parents(lake: Any, repository: str) -> None:
    branch_with(lake, repository, "run", {"a": b"1"})
    before, head = lake.resolve(repository, "main"), lake.commit(repository, "run", "one", {})
    merged = lake.merge(repository, "run", "main", "publish", {"slipway.stage": "publish"})
    info = lake.commit_info(repository, "main")
    assert (info.id, info.parents, info.message) == (merged, (before, head), "publish")
    assert info.metadata["slipway.stage"] == "publish"
    assert lake.get(LakeUri(repository, "main", "a")) == b"1"
    assert lake.merge(repository, "run", "main", "again", {}) == merged


def test_branches_that_change_different_paths_merge(lake: Any, repository: str) -> None:
    published(lake, repository, "base", {"a": b"1", "b": b"1", "c": b"1"})
    for name, path in (("one", "a"), ("two", "b")):
        branch_with(lake, repository, name, {path: name.encode()})
    lake.delete(LakeUri(repository, "two", "c"))
    for name in ("one", "two"):
        publish(lake, repository, name, name, {})
    assert {
        found.path: lake.get(LakeUri(repository, "main", found.path))
        for found in lake.list(LakeUri(repository, "main"))
    } == {
        "a": b"one",
        "b": b"two",
    }


def test_a_conflict_names_its_paths_and_changes_nothing(lake: Any, repository: str) -> None:
    published(lake, repository, "base", {"a": b"1", "b": b"1", "c": b"1"})
    for name in ("one", "two"):
        branch_with(lake, repository, name, {"a": name.encode(), f"only-{name}": b"1", "c": b"same"})
    lake.delete(LakeUri(repository, "two", "b"))
    lake.put(LakeUri(repository, "one", "b"), b"changed")
    first = publish(lake, repository, "one", "one", {})
    with pytest.raises(LakeConflictError, match="a, b") as conflict:
        publish(lake, repository, "two", "two", {})
    assert conflict.value.paths == ("a", "b")
    assert lake.resolve(repository, "main") == first
    assert lake.get(LakeUri(repository, "two", "a")) == b"two"


def test_what_main_changed_since_a_branch_parted_is_told_by_prefix(lake: Any, repository: str) -> None:
    published(lake, repository, "base", {"a/1": b"1", "same/1": b"1"})
    branch_with(lake, repository, "run", {"a/2": b"2", "same/2": b"2", "own/1": b"1"})
    lake.commit(repository, "run", "own", {})
    assert not lake.changed_since(repository, "run", "main", "")
    published(lake, repository, "other", {"a/1": b"changed", "same/2": b"2", "new/1": b"1"})
    for prefix, changed in {"a/": True, "new/": True, "same/": False, "own/": False, "": True}.items():
        assert lake.changed_since(repository, "run", "main", prefix) is changed, prefix


def test_a_merged_branch_has_parted_from_nothing(lake: Any, repository: str) -> None:
    published(lake, repository, "run", {"a": b"1"})
    assert not lake.changed_since(repository, "run", "main", "a")


def test_merging_a_missing_branch_is_not_found(lake: Any, repository: str) -> None:
    with pytest.raises(LakeNotFoundError):
        lake.merge(repository, "absent", "main", "no", {})


def test_a_tag_names_one_commit_for_good(lake: Any, repository: str) -> None:
    commit = published(lake, repository, "run", {"a": b"1"})
    lake.tag(repository, "v1", "main")
    lake.tag(repository, "v1", commit)
    published(lake, repository, "later", {"a": b"2"})
    assert lake.resolve(repository, "v1") == commit
    assert lake.get(LakeUri(repository, "v1", "a")) == b"1"
    with pytest.raises(LakeConflictError, match=commit):
        lake.tag(repository, "v1", "main")


def test_tags_are_listed_with_their_commits(lake: Any, repository: str) -> None:
    first, second = (published(lake, repository, name, {name: b"1"}) for name in ("one", "two"))
    lake.tag(repository, "v2", second)
    lake.tag(repository, "v1", first)
    assert lake.tags(repository) == {"v1": first, "v2": second}


def test_the_last_write_is_that_of_what_is_uncommitted(lake: Any, repository: str) -> None:
    branch_with(lake, repository, "run", {"a": b"1"})
    written = lake.last_write(repository, "run")
    lake.commit(repository, "run", "a", {})
    assert written is not None and abs(written - lake.commit_info(repository, "run").created) < 5
    assert lake.last_write(repository, "run") is None
    lake.delete(LakeUri(repository, "run", "a"))
    assert lake.last_write(repository, "run") is None


def test_references_may_be_prefixes_and_ancestors(lake: Any, repository: str) -> None:
    before = lake.resolve(repository, "main")
    commit = published(lake, repository, "run", {"a": b"1"})
    assert lake.resolve(repository, commit[:12]) == commit
    assert lake.resolve(repository, "main~1") == before


def test_publishing_again_returns_the_same_commit_even_after_others(lake: Any, repository: str) -> None:
    branch_with(lake, repository, "one", {"a": b"1"})
    first = publish(lake, repository, "one", "one", {})
    published(lake, repository, "two", {"b": b"1"})
    assert publish(lake, repository, "one", "one", {}) == first
    assert lake.resolve(repository, "main") != first


def test_publishing_goes_on_after_a_kill_between_commit_and_merge(lake: Any, repository: str) -> None:
    branch_with(lake, repository, "one", {"a": b"1"})
    head = lake.commit(repository, "one", "one", {})
    merged = publish(lake, repository, "one", "one", {})
    assert lake.commit_info(repository, merged).parents[1] == head


@pytest.mark.parametrize("at", range(3))
def test_publishing_killed_before_any_step_ends_in_one_commit_and_one_merge(
    lake: Any, repository: str, at: int
) -> None:
    branch_with(lake, repository, "one", {"a": b"1"})
    death = Death(at)
    merged = retried(publish, death.watch(lake, "commit", "merge"), repository, "one", "one", {})
    assert death.happened == (at < 2)
    history = lake.log(repository, "main", 100)
    assert [len(commit.parents) for commit in history] == [2, 1, 0] and history[0].id == merged


def test_publishing_a_branch_that_changes_nothing_is_success(lake: Any, repository: str) -> None:
    first = published(lake, repository, "one", {"a": b"1"})
    assert published(lake, repository, "two", {"a": b"1"}) == first
    published(lake, repository, "three", {"b": b"1"})
    assert published(lake, repository, "four", {"a": b"1"}, source=first) == first


def test_only_what_a_passing_verdict_is_about_reaches_main(lake: Any, repository: str) -> None:
    before = lake.resolve(repository, "main")
    files = {"features/date=1/part": b"1", "_quality/features/date=1/report.json": b"{}", "raw/stray": b"1"}
    branch_with(lake, repository, "run", files)
    for verdicts, says in (
        ([], "there is no verdict"),
        ([Verdict("features", "fail", "")], "features did not pass"),
        ([Verdict("raw", "pass", "raw/"), Verdict("features", "fail", "features/")], "features did not pass"),
        ([Verdict("features", "pass", "features/date=1/")], "no verdict is about raw/stray"),
        ([Verdict("features", "pass", "features/date=10/"), Verdict("raw", "pass", "raw/")], "features/date=1/part"),
    ):
        with pytest.raises(ContractError, match=says):
            publishing.publish(lake, repository, "run", "no", {}, verdicts=verdicts)
    assert lake.resolve(repository, "main") == before
    lake.delete(LakeUri(repository, "run", "raw/stray"))
    passed = [Verdict("features", "pass", "features/date=1/")]
    publishing.publish(lake, repository, "run", "yes", {}, verdicts=passed)
    assert lake.exists(LakeUri(repository, "main", "_quality/features/date=1/report.json"))


def test_a_deletion_nobody_judged_does_not_reach_main(lake: Any, repository: str) -> None:
    first = published(lake, repository, "base", {"a": b"1", "b": b"1"})
    branch_with(lake, repository, "run", {"b": b"2"})
    lake.delete(LakeUri(repository, "run", "a"))
    with pytest.raises(ContractError, match="no verdict is about a "):
        publishing.publish(lake, repository, "run", "no", {}, verdicts=[Verdict("b", "pass", "b")])
    assert lake.resolve(repository, "main") == first


def test_what_is_committed_on_the_branch_after_the_verdicts_does_not_reach_main(lake: Any, repository: str) -> None:
    class Interrupted:
        """A lake whose branch somebody else commits on between the verdicts' commit and the merge."""

        def __getattr__(self, name: str) -> Any:
            return getattr(lake, name)

        def merge(self, *arguments: Any) -> str:
            lake.put(LakeUri(repository, "run", "late"), b"1")
            lake.commit(repository, "run", "late", {})
            return str(lake.merge(*arguments))

    branch_with(lake, repository, "run", {"a": b"1"})
    publish(Interrupted(), repository, "run", "a", {})
    assert lake.exists(LakeUri(repository, "main", "a"))
    assert not lake.exists(LakeUri(repository, "main", "late"))


def test_changed_paths_are_those_a_merge_would_bring(lake: Any, repository: str) -> None:
    published(lake, repository, "base", {"a": b"1", "b": b"1"})
    branch_with(lake, repository, "run", {"a": b"2", "c": b"1"})
    lake.delete(LakeUri(repository, "run", "b"))
    head = lake.commit(repository, "run", "run", {})
    published(lake, repository, "later", {"d": b"1"})
    assert lake.changed(repository, "main", head) == ("a", "b", "c")
    assert lake.changed(repository, head, "main") == ("d",)
    assert lake.changed(repository, "main", "main") == ()


def test_fifty_partitions_published_at_once_all_arrive_and_no_step_is_done_twice(lake: Any, repository: str) -> None:
    days = [f"2013-{month:02d}-{day:02d}" for month in (1, 2) for day in range(1, 26)]
    files = [f"{part}/date={{day}}/part-00000.parquet" for part in ("raw/flights", "raw/weather", "features")]
    with ThreadPoolExecutor(50) as pool:
        commits = list(
            pool.map(
                lambda day: published(
                    lake, repository, f"run-{day}", {path.format(day=day): day.encode() for path in files}
                ),
                days,
            )
        )
    assert len(set(commits)) == 50
    for day in days:
        assert lake.get(LakeUri(repository, "main", f"features/date={day}/part-00000.parquet")) == day.encode()
    assert len(lake.list(LakeUri(repository, "main"))) == 50 * 3
    history = lake.log(repository, "main", 1000)
    assert len(history) == 1 + 50 * 2  # The first commit, and per partition the run's commit and its merge.
    merges = [commit for commit in history if len(commit.parents) == 2]
    assert {commit.id for commit in merges} == set(commits)
    assert sorted(commit.message for commit in merges) == sorted(f"publish run-{day}" for day in days)


def test_ten_publications_of_one_branch_at_once_are_one(lake: Any, repository: str) -> None:
    branch_with(lake, repository, "run", {"a": b"1"})
    with ThreadPoolExecutor(10) as pool:
        commits = set(pool.map(lambda _: publish(lake, repository, "run", "one", {}), range(10)))
    assert len(commits) == 1
    assert len(lake.log(repository, "main", 1000)) == 3
