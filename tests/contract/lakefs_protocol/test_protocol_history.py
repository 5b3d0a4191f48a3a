"""Branches, commits, merges, tags, differences and protection through the official SDK."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import lakefs
import lakefs_sdk
import pytest
from lakefs.exceptions import BadRequestException, ConflictException, ForbiddenException, NotFoundException

HEX64 = re.compile(r"[0-9a-f]{64}")


def put(branch: lakefs.Branch, **objects: str) -> None:
    for path, data in objects.items():
        branch.object(path).upload(data.encode(), pre_sign=False)


def contents(ref: lakefs.Reference) -> dict[str, str]:
    return {one.path: ref.object(one.path).reader(pre_sign=False).read().decode() for one in ref.objects()}


def changes(found: object) -> list[tuple[str, str]]:
    return [(one.type, one.path) for one in found]


def test_repositories_are_created_once_listed_and_deleted(client: lakefs.Client, repository: lakefs.Repository) -> None:
    storage = repository.properties.storage_namespace
    with pytest.raises(ConflictException):
        lakefs.Repository(repository.id, client).create(storage)
    again = lakefs.Repository(repository.id, client).create(storage, exist_ok=True)
    assert again.properties.default_branch == "main"
    assert repository.id in [one.id for one in lakefs.repositories(client, prefix="repo-")]
    gone = lakefs.Repository(repository.id + "x", client).create(f"{storage}x")
    gone.delete()
    with pytest.raises(NotFoundException):
        _ = lakefs.Repository(gone.id, client).properties


def test_server_tells_its_version_storage_and_user(client: lakefs.Client) -> None:
    assert client.version
    assert client.storage_config.pre_sign_support is True
    assert client.sdk_client.auth_api.get_current_user().user.id
    assert client.sdk_client.internal_api.get_lake_fs_version().version == client.version
    assert client.sdk_client.internal_api.get_storage_config().blockstore_type == client.storage_config.blockstore_type


def test_commit_carries_message_metadata_and_parents(repository: lakefs.Repository, main: lakefs.Branch) -> None:
    before = main.get_commit()
    put(main, new="1")
    ref = main.commit("a message", metadata={"run": "7", "url": "http://x"})
    commit = ref.get_commit()
    assert HEX64.fullmatch(commit.id)
    assert (commit.message, commit.metadata, commit.parents) == (
        "a message",
        {"run": "7", "url": "http://x"},
        [before.id],
    )
    assert main.get_commit().id == commit.id
    assert list(main.uncommitted()) == []


def test_a_commit_without_changes_is_refused_unless_empty_is_allowed(main: lakefs.Branch) -> None:
    with pytest.raises(BadRequestException, match="no changes"):
        main.commit("nothing")
    put(main, kept="kept")  # identical bytes are no change
    main.object("never-was").delete()
    assert list(main.uncommitted()) == []
    with pytest.raises(BadRequestException, match="no changes"):
        main.commit("nothing")
    empty = main.commit("on purpose", allow_empty=True).get_commit()
    assert len(empty.parents) == 1


def test_metadata_and_content_type_are_part_of_an_objects_identity(main: lakefs.Branch) -> None:
    main.object("kept").upload(b"kept", pre_sign=False, metadata={"a": "b"})
    assert changes(main.uncommitted()) == [("changed", "kept")]


def test_branches_isolate_and_see_their_own_staging(repository: lakefs.Repository, main: lakefs.Branch) -> None:
    put(main, staged="x")
    other = repository.branch("other").create("main")
    assert "staged" not in contents(other)  # a branch starts from committed state
    put(other, mine="1")
    assert "mine" not in contents(main)
    assert "mine" not in contents(repository.ref("other@"))
    assert [one.id for one in repository.branches()] == ["main", "other"]
    with pytest.raises(ConflictException):
        repository.branch("other").create("main")
    other.delete()
    with pytest.raises(NotFoundException):
        other.get_commit()
    repository.branch("other").create("main")
    assert "mine" not in contents(other)


@pytest.mark.parametrize("name", ["with/slash", "dot.ted", "-lead", "sp ace", "ü", "a\n"])
def test_bad_branch_names_are_refused(repository: lakefs.Repository, name: str) -> None:
    with pytest.raises(BadRequestException):
        repository.branch(name).create("main")


def test_the_default_branch_cannot_be_deleted(repository: lakefs.Repository) -> None:
    with pytest.raises(ForbiddenException):
        repository.branch("main").delete()


def test_merge_brings_both_sides_together(repository: lakefs.Repository, main: lakefs.Branch) -> None:
    side = repository.branch("side").create("main")
    put(side, changed="on side", added="side")
    side.object("removed").delete()
    source = side.commit("side")
    put(main, meanwhile="main")
    destination = main.commit("meanwhile")
    put(side, uncommitted="is ignored")
    merged = side.merge_into(main, message="both", metadata={"k": "v"})
    assert contents(main) == {"kept": "kept", "changed": "on side", "added": "side", "meanwhile": "main"}
    commit = repository.commit(merged).get_commit()
    assert commit.parents == [destination.id, source.id]
    assert commit.message == "both"
    assert commit.metadata["k"] == "v"
    with pytest.raises(BadRequestException, match="no changes"):
        side.merge_into(main)


def test_merge_conflict_names_its_paths_in_the_three_dot_diff(
    repository: lakefs.Repository, main: lakefs.Branch
) -> None:
    side = repository.branch("side").create("main")
    put(side, changed="side", kept="same", fine="1")
    side.object("removed").delete()
    side.commit("side")
    put(main, changed="main", kept="same", removed="changed instead")
    head = main.commit("main")
    with pytest.raises(ConflictException):
        side.merge_into(main)
    assert main.get_commit().id == head.id
    assert changes(main.diff(side)) == [("conflict", "changed"), ("added", "fine"), ("conflict", "removed")]
    side.merge_into(main, strategy="dest-wins")
    assert contents(main) == {"changed": "main", "kept": "same", "removed": "changed instead", "fine": "1"}


def test_source_wins_strategy_takes_the_source_in_conflicts(repository: lakefs.Repository, main: lakefs.Branch) -> None:
    side = repository.branch("side").create("main")
    put(side, changed="side")
    side.commit("side")
    put(main, changed="main")
    main.commit("main")
    side.merge_into(main, strategy="source-wins")
    assert contents(main)["changed"] == "side"


def test_merge_into_a_dirty_branch_is_refused(repository: lakefs.Repository, main: lakefs.Branch) -> None:
    side = repository.branch("side").create("main")
    put(side, added="1")
    side.commit("side")
    put(main, dirty="1")
    with pytest.raises(BadRequestException, match="dirty branch"):
        side.merge_into(main)
    main.reset_changes()
    assert "dirty" not in contents(main)
    side.merge_into(main)


def test_log_is_newest_first_and_pages(repository: lakefs.Repository, main: lakefs.Branch) -> None:
    for number in range(5):
        put(main, counter=str(number))
        main.commit(f"commit {number}")
    messages = [one.message for one in main.log(amount=2)]
    assert messages == [f"commit {number}" for number in (4, 3, 2, 1, 0)] + ["three objects", "Repository created"]
    assert [one.message for one in main.log(max_amount=1)] == ["commit 4"]
    touching = [one.message for one in main.log(objects=["kept"])]
    assert touching == ["three objects"]


def test_log_filters_by_date_end_object_and_prefix(repository: lakefs.Repository, main: lakefs.Branch) -> None:
    api = repository.branch("side").create("main")
    for number, path in enumerate(("dir/a", "dir/b", "other")):
        put(api, **{path: "1"})
        api.commit(path, date=1_000_000_000 + number * 1000)
    ids = {one.message: one.id for one in api.log()}

    def messages(**filters: object) -> list[str]:
        return [one.message for one in api.log(**filters)]

    assert messages(stop_at=ids["dir/b"]) == messages(stop_at="side~1") == ["other", "dir/b"]
    assert messages(stop_at="side~1", objects=["other"]) == ["other"]
    assert messages(stop_at="side", prefixes=["dir/"]) == []
    assert messages(since=datetime.fromtimestamp(1_000_001_000, UTC)) == ["other", "dir/b"]
    assert messages(prefixes=["dir/"]) == ["dir/b", "dir/a"]
    assert messages(prefixes=["other"], objects=["dir/a"], amount=1) == ["other", "dir/a"]
    assert messages(after=ids["dir/b"]) == messages(after="side~1") == ["dir/a", "three objects", "Repository created"]


def test_reference_expressions(repository: lakefs.Repository, main: lakefs.Branch) -> None:
    first = main.get_commit().id
    put(main, more="1")
    second = main.commit("second").get_commit().id
    tag = repository.tag("v1.0").create(first)
    resolve = {name: repository.ref(name).get_commit().id for name in ("main~1", "main^", "v1.0", first[:12], "main~0")}
    assert resolve == {"main~1": first, "main^": first, "v1.0": first, first[:12]: first, "main~0": second}
    assert tag.get_commit().id == first
    for absent in ("main~99", "nothing", "f" * 64):
        with pytest.raises(NotFoundException):
            repository.ref(absent).get_commit()


def test_tags_are_unique_listed_and_deleted(repository: lakefs.Repository, main: lakefs.Branch) -> None:
    repository.tag("v1").create("main")
    with pytest.raises(ConflictException):
        repository.tag("v1").create("main")
    repository.tag("v1").create("main", exist_ok=True)
    with pytest.raises(ConflictException):
        repository.tag("main").create("main")  # a branch has that name
    assert [one.id for one in repository.tags()] == ["v1"]
    repository.tag("v1").delete()
    with pytest.raises(NotFoundException):
        repository.tag("v1").get_commit()


def test_diffs_of_a_branch_and_of_references(repository: lakefs.Repository, main: lakefs.Branch) -> None:
    start = main.get_commit().id
    put(main, **{"changed": "2", "dir/a": "1", "dir/b": "1"})
    main.object("removed").delete()
    expected = [("changed", "changed"), ("added", "dir/a"), ("added", "dir/b"), ("removed", "removed")]
    assert changes(main.uncommitted()) == expected
    main.commit("changes")
    reference = repository.ref(start)
    assert changes(reference.diff("main")) == expected
    assert changes(reference.diff("main", type="two_dot", amount=1)) == expected
    assert changes(reference.diff("main", prefix="dir/")) == expected[1:3]
    assert changes(reference.diff("main", delimiter="/")) == [expected[0], ("prefix_changed", "dir/"), expected[3]]
    assert changes(repository.branch("main").diff(start, type="three_dot")) == []


def test_a_protected_branch_changes_through_merges_only(
    client: lakefs.Client, repository: lakefs.Repository, main: lakefs.Branch
) -> None:
    api = client.sdk_client.repositories_api
    api.set_branch_protection_rules(repository.id, [lakefs_sdk.BranchProtectionRule(pattern="ma*")])
    assert [rule.pattern for rule in api.get_branch_protection_rules(repository.id)] == ["ma*"]
    forbidden = [
        lambda: main.object("x").upload(b"x", pre_sign=False),
        lambda: main.object("kept").delete(),
        lambda: main.delete_objects(["kept"]),
        lambda: main.object("kept").copy("main", "copy"),
        lambda: main.commit("x", allow_empty=True),
    ]
    for attempt in forbidden:
        with pytest.raises(ForbiddenException if attempt is not forbidden[1] else PermissionError):
            attempt()
    side = repository.branch("side").create("main")
    put(side, added="1")
    side.commit("side")
    side.merge_into("main")
    assert main.object("added").exists()
    api.set_branch_protection_rules(repository.id, [])
    put(main, x="1")


def test_a_transaction_commits_merges_and_leaves_no_branch(repository: lakefs.Repository, main: lakefs.Branch) -> None:
    with main.transact(commit_message="tx", tag="after-tx") as tx:
        tx.object("from-tx").upload(b"1", pre_sign=False)
        assert not main.object("from-tx").exists()
    assert main.object("from-tx").exists()
    assert repository.tag("after-tx").get_commit().id == main.get_commit().id
    assert [one.id for one in repository.branches(show_hidden=True)] == ["main"]


def test_hidden_branches_are_listed_only_on_request(repository: lakefs.Repository) -> None:
    repository.branch("secret").create("main", hidden=True)
    assert [one.id for one in repository.branches()] == ["main"]
    assert [one.id for one in repository.branches(show_hidden=True)] == ["main", "secret"]


def test_equal_content_has_an_equal_meta_range_however_it_came_about(
    repository: lakefs.Repository, main: lakefs.Branch
) -> None:
    one, other = (repository.branch(name).create("main") for name in ("one", "other"))
    put(one, a="1", b="2")
    one.commit("both at once")
    put(other, b="2", temporary="x")
    other.commit("first")
    put(other, a="1")
    other.object("temporary").delete()
    other.commit("second")
    assert one.get_commit().meta_range_id == other.get_commit().meta_range_id
