"""Revert, cherry-pick, resets and user metadata through the official SDK."""

from __future__ import annotations

import lakefs
import lakefs_sdk
import pytest
from lakefs.exceptions import BadRequestException, ConflictException, NotFoundException

from tests.contract.lakefs_protocol.test_protocol_history import changes, contents, put

START = {"kept": "kept", "changed": "changed", "removed": "removed"}


def test_revert_takes_back_what_one_commit_changed(repository: lakefs.Repository, main: lakefs.Branch) -> None:
    put(main, changed="2", added="new")
    main.object("removed").delete()
    wrong = main.commit("wrong").get_commit()
    put(main, later="stays")
    before = main.commit("later").get_commit()
    made = main.revert(wrong.id)
    assert contents(main) == {**START, "later": "stays"}
    assert (made.parents, made.message) == ([before.id], f"Revert {wrong.id}")
    main.revert("main")
    assert contents(main) == {"kept": "kept", "changed": "2", "added": "new", "later": "stays"}


def test_revert_of_the_first_commit_and_of_one_that_changed_nothing(
    repository: lakefs.Repository, main: lakefs.Branch
) -> None:
    first = list(main.log())[-1].id
    with pytest.raises(BadRequestException, match="no changes"):
        main.revert(first)
    main.revert("main")
    assert contents(main) == {}


def test_revert_of_a_merge_needs_the_parent_it_goes_back_to(repository: lakefs.Repository, main: lakefs.Branch) -> None:
    side = repository.branch("side").create("main")
    put(side, from_side="1")
    side.commit("side")
    put(main, from_main="1")
    main.commit("main")
    side.merge_into(main)
    with pytest.raises(ConflictException, match="parent number"):
        main.revert("main")
    with pytest.raises(BadRequestException, match="parent 3"):
        main.revert("main", 3)
    main.revert("main", 1)
    assert contents(main) == {**START, "from_main": "1"}


def test_revert_of_paths_changed_since_is_a_conflict(repository: lakefs.Repository, main: lakefs.Branch) -> None:
    put(main, changed="2")
    wrong = main.commit("wrong").get_commit()
    put(main, changed="3")
    head = main.commit("again").get_commit()
    with pytest.raises(ConflictException, match="conflict"):
        main.revert(wrong.id)
    assert main.get_commit().id == head.id


def test_nothing_is_reverted_or_picked_over_uncommitted_changes(
    repository: lakefs.Repository, main: lakefs.Branch
) -> None:
    put(main, dirty="1")
    for attempt in (lambda: main.revert("main"), lambda: main.cherry_pick("main")):
        with pytest.raises(BadRequestException, match="dirty branch"):
            attempt()


def test_cherry_pick_brings_one_commit_and_says_where_from(repository: lakefs.Repository, main: lakefs.Branch) -> None:
    side = repository.branch("side").create("main")
    put(side, unwanted="1")
    side.commit("not this")
    put(side, wanted="1")
    origin = side.commit("this one", metadata={"run": "7"}).get_commit()
    picked = main.cherry_pick("side")
    assert contents(main) == {**START, "wanted": "1"}
    assert picked.message == "this one"
    assert picked.metadata == {
        "run": "7", "cherry-pick-origin": origin.id, "cherry-pick-committer": origin.committer
    }  # fmt: skip
    assert len(picked.parents) == 1
    assert main.get_commit().id == picked.id


def test_cherry_pick_of_a_merge_needs_a_parent(repository: lakefs.Repository, main: lakefs.Branch) -> None:
    target = repository.branch("target").create("main")
    side = repository.branch("side").create("main")
    put(side, from_side="1")
    side.commit("side")
    put(main, from_main="1")
    main.commit("main")
    side.merge_into(main)
    with pytest.raises(BadRequestException, match="parent number"):
        target.cherry_pick("main")
    with pytest.raises(BadRequestException, match="parent 3"):
        target.cherry_pick("main", 3)
    target.cherry_pick("main", 2)
    assert contents(target) == {**START, "from_main": "1"}


def test_cherry_pick_conflicts_and_absent_commits_are_refused(
    repository: lakefs.Repository, main: lakefs.Branch
) -> None:
    side = repository.branch("side").create("main")
    put(side, changed="side")
    side.commit("side")
    put(main, changed="main")
    main.commit("main")
    with pytest.raises(ConflictException):
        main.cherry_pick("side")
    with pytest.raises(NotFoundException):
        main.cherry_pick("nothing")
    assert contents(main)["changed"] == "main"


def test_a_hard_reset_moves_the_branch(
    client: lakefs.Client, repository: lakefs.Repository, main: lakefs.Branch
) -> None:
    api = client.sdk_client.experimental_api
    before = main.get_commit().id
    put(main, later="1")
    main.commit("later")
    put(main, dirty="1")
    with pytest.raises(lakefs_sdk.ApiException, match="dirty branch"):
        api.hard_reset_branch(repository.id, "main", before)
    main.reset_changes()
    api.hard_reset_branch(repository.id, "main", before)
    assert main.get_commit().id == before
    assert contents(main) == START
    with pytest.raises(lakefs_sdk.exceptions.NotFoundException):
        api.hard_reset_branch(repository.id, "main", "nothing")


def test_protection_forbids_hard_resets_but_not_reverts(
    client: lakefs.Client, repository: lakefs.Repository, main: lakefs.Branch
) -> None:
    rules = [lakefs_sdk.BranchProtectionRule(pattern="main")]
    client.sdk_client.repositories_api.set_branch_protection_rules(repository.id, rules)
    with pytest.raises(lakefs_sdk.exceptions.ForbiddenException):
        client.sdk_client.experimental_api.hard_reset_branch(repository.id, "main", "main~1")
    main.revert("main")
    assert contents(main) == {}


def test_resets_of_one_object_a_prefix_and_everything(repository: lakefs.Repository, main: lakefs.Branch) -> None:
    put(main, **{"dir/a": "1", "dir/b": "1", "dirt": "1", "kept": "2"})
    main.object("removed").delete()
    main.reset_changes("object", "kept")
    assert contents(main)["kept"] == "kept"
    main.reset_changes("common_prefix", "dir/")
    assert changes(main.uncommitted()) == [("added", "dirt"), ("removed", "removed")]
    main.reset_changes()
    assert contents(main) == START


def test_user_metadata_is_replaced_without_the_bytes(
    client: lakefs.Client, repository: lakefs.Repository, main: lakefs.Branch
) -> None:
    api = client.sdk_client.experimental_api
    update = lakefs_sdk.UpdateObjectUserMetadata(set={"owner": "me", "run": "7"})
    api.update_object_user_metadata(repository.id, "main", "kept", update)
    assert main.object("kept").stat().metadata == {"owner": "me", "run": "7"}
    assert changes(main.uncommitted()) == [("changed", "kept")]
    api.update_object_user_metadata(repository.id, "main", "kept", lakefs_sdk.UpdateObjectUserMetadata(set={}))
    assert list(main.uncommitted()) == []
    with pytest.raises(lakefs_sdk.exceptions.NotFoundException):
        api.update_object_user_metadata(repository.id, "main", "absent", update)


def test_the_head_of_an_object_is_its_headers(client: lakefs.Client, repository: lakefs.Repository) -> None:
    repository.branch("main").object("o").upload(b"data", pre_sign=False, content_type="text/x-test")
    api = client.sdk_client.objects_api
    head = api.head_object_with_http_info(repository.id, "main", "o")
    assert (head.status_code, head.headers["Content-Length"], head.headers["Content-Type"]) == (
        200, "4", "text/x-test"
    )  # fmt: skip
    part = api.head_object_with_http_info(repository.id, "main", "o", range="bytes=1-2")
    assert (part.status_code, part.headers["Content-Range"]) == (206, "bytes 1-2/4")
    with pytest.raises(lakefs_sdk.exceptions.NotFoundException):
        api.head_object(repository.id, "main", "absent")
