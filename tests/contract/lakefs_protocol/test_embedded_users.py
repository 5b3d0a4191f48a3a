"""Users with roles: what a reader, a writer of one branch and an admin may do, and that their URLs end with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import lakefs
import pytest
from lakefs.exceptions import ForbiddenException

from tests.contract.lakefs_protocol.embedded_server import ACCESS_KEY, READER, SECRET_KEY, WRITER

REPOSITORY = "/repositories/roles"
Keys = tuple[str, str]
ADMIN: Keys = (ACCESS_KEY, SECRET_KEY)
AUDITOR: Keys = ("AKIAREADER", "reads")
INGEST: Keys = ("AKIAWRITER", "writes")


@pytest.fixture(scope="module")
def ask(embedded: Any) -> Iterator[Callable[..., httpx.Response]]:
    """Send a request as somebody; the repository has the branches main, run and other, each with the object o."""
    with httpx.Client(base_url=f"{embedded.endpoint}/api/v1", timeout=60) as http:

        def send(who: Keys, method: str, url: str, **request: Any) -> httpx.Response:
            return http.request(method, url, auth=who, **request)

        send(ADMIN, "POST", "/repositories", json={"name": "roles", "storage_namespace": "local://roles"})
        send(ADMIN, "POST", f"{REPOSITORY}/branches/main/objects?path=o", content=b"data")
        send(ADMIN, "POST", f"{REPOSITORY}/branches/main/commits", json={"message": "o"})
        for name in ("run", "other"):
            send(ADMIN, "POST", f"{REPOSITORY}/branches", json={"name": name, "source": "main"})
        yield send


def changes_of(branch: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Every request that changes one branch, or hands out the means to."""
    at = f"{REPOSITORY}/branches/{branch}"
    return [
        ("GET", f"{at}/staging/backing?path=x&presign=true", {}),
        ("PUT", f"{at}/staging/backing?path=x", {"json": {}}),
        ("POST", f"{at}/objects?path=x", {"content": b"x"}),
        ("POST", f"{at}/objects/copy?dest_path=y", {"json": {"src_path": "o"}}),
        ("PUT", f"{at}/objects/stat/user_metadata?path=o", {"json": {"set": {"a": "b"}}}),
        ("DELETE", f"{at}/objects?path=x", {}),
        ("POST", f"{at}/objects/delete", {"json": {"paths": ["y"]}}),
        ("POST", f"{at}/commits", {"json": {"message": "m"}}),
        ("POST", f"{at}/revert", {"json": {"ref": branch}}),
        ("POST", f"{at}/cherry-pick", {"json": {"ref": f"{branch}~1"}}),
        ("PUT", at, {"json": {"type": "reset"}}),
        ("PUT", f"{at}/hard_reset?ref={branch}", {}),
        ("POST", f"{REPOSITORY}/refs/main/merge/{branch}", {"json": {"allow_empty": True}}),
    ]


ADMINISTRATION = [
    ("POST", "/repositories", {"json": {"name": "another", "storage_namespace": "local://another"}}),
    ("DELETE", REPOSITORY, {}),
    ("POST", f"{REPOSITORY}/branches", {"json": {"name": "more", "source": "main"}}),
    ("DELETE", f"{REPOSITORY}/branches/run", {}),
    ("POST", f"{REPOSITORY}/tags", {"json": {"id": "v1", "ref": "main"}}),
    ("DELETE", f"{REPOSITORY}/tags/v1", {}),
    ("PUT", f"{REPOSITORY}/settings/branch_protection", {"json": []}),
]
READING = [
    "/repositories", REPOSITORY, f"{REPOSITORY}/branches", f"{REPOSITORY}/branches/other", f"{REPOSITORY}/tags",
    f"{REPOSITORY}/refs/other/objects?path=o", f"{REPOSITORY}/refs/other/objects/stat?path=o&presign=true",
    f"{REPOSITORY}/refs/other/objects/ls", f"{REPOSITORY}/refs/other/commits", f"{REPOSITORY}/refs/main/diff/other",
    f"{REPOSITORY}/branches/other/diff", f"{REPOSITORY}/refs/main/merge/other", f"{REPOSITORY}/commits/main",
    f"{REPOSITORY}/settings/branch_protection",
]  # fmt: skip


@pytest.mark.parametrize("url", READING)
@pytest.mark.parametrize("who", [AUDITOR, INGEST], ids=["read", "write"])
def test_everyone_reads(ask: Callable[..., httpx.Response], who: Keys, url: str) -> None:
    assert ask(who, "GET", url, follow_redirects=False).status_code == 200


@pytest.mark.parametrize(("method", "url", "request_"), [*changes_of("run"), *ADMINISTRATION])
def test_a_reader_changes_nothing(ask: Callable[..., httpx.Response], method: str, url: str, request_: Any) -> None:
    answer = ask(AUDITOR, method, url, **request_)
    assert answer.status_code == 403
    assert set(answer.json()) == {"message"}
    assert "auditor has the role read" in answer.json()["message"]


@pytest.mark.parametrize(("method", "url", "request_"), [*changes_of("other"), *ADMINISTRATION])
def test_a_writer_changes_no_other_branch(
    ask: Callable[..., httpx.Response], method: str, url: str, request_: Any
) -> None:
    answer = ask(INGEST, method, url, **request_)
    assert answer.status_code == 403
    assert "ingest has the role write" in answer.json()["message"]


def test_a_writer_writes_its_branch_in_its_own_name(ask: Callable[..., httpx.Response]) -> None:
    statuses = [ask(INGEST, method, url, **request).status_code for method, url, request in changes_of("run")]
    # the link names no uploaded bytes, which is its only refusal
    assert statuses == [200, 400, 201, 201, 201, 204, 200, 201, 204, 201, 204, 204, 200]
    log = ask(INGEST, "GET", f"{REPOSITORY}/refs/run/commits").json()["results"]
    assert [one["committer"] for one in log][:4] == ["ingest"] * 4
    assert log[-1]["committer"] == "admin"


def test_a_branch_of_that_name_in_another_repository_is_another_branch(ask: Callable[..., httpx.Response]) -> None:
    ask(ADMIN, "POST", "/repositories", json={"name": "elsewhere", "storage_namespace": "local://elsewhere"})
    ask(ADMIN, "POST", "/repositories/elsewhere/branches", json={"name": "run", "source": "main"})
    url = "/repositories/elsewhere/branches/run/objects?path=x"
    assert ask(INGEST, "POST", url, content=b"x").status_code == 403


def test_every_user_is_told_who_asks(embedded: Any, ask: Callable[..., httpx.Response]) -> None:
    pairs = {"admin": ADMIN, "auditor": AUDITOR, "ingest": INGEST, "root": ("AKIAROOT", "roots")}
    assert {name: ask(who, "GET", "/user").json()["user"]["id"] for name, who in pairs.items()} == {
        name: name for name in pairs
    }
    assert ask(("AKIAREADER", "writes"), "GET", "/user").status_code == 401


def test_another_admin_does_everything(ask: Callable[..., httpx.Response]) -> None:
    root = ("AKIAROOT", "roots")
    body = {"name": "roots-own", "storage_namespace": "local://roots-own"}
    assert ask(root, "POST", "/repositories", json=body).status_code == 201
    assert ask(root, "GET", "/repositories/roots-own/commits/main").json()["committer"] == "root"
    assert ask(root, "DELETE", "/repositories/roots-own").status_code == 204


def test_the_sdk_calls_it_forbidden(embedded: Any, ask: Callable[..., httpx.Response]) -> None:
    client = lakefs.client.Client(host=embedded.endpoint, username=AUDITOR[0], password=AUDITOR[1])
    branch = lakefs.Branch("roles", "other", client)
    assert branch.object("o").reader(pre_sign=True).read() == b"data"
    with pytest.raises(ForbiddenException, match="insufficient permissions"):
        branch.object("x").upload(b"x", pre_sign=False)


def test_urls_end_with_their_users_keys_and_rights(start_server: Callable[..., Any]) -> None:
    def presigned(server: Any) -> list[tuple[str, str]]:
        base, auth = f"{server.endpoint}/api/v1/repositories/roles", INGEST
        stat = httpx.get(f"{base}/refs/run/objects/stat?path=o&presign=true", auth=auth).json()
        place = httpx.get(f"{base}/branches/run/staging/backing?path=o&presign=true", auth=auth).json()
        return [("GET", stat["physical_address"]), ("PUT", place["presigned_url"])]

    def statuses(server: Any, urls: list[tuple[str, str]]) -> list[int]:
        asked = [(method, httpx.URL(url).copy_with(port=server.port)) for method, url in urls]
        return [httpx.request(method, url, content=b"x").status_code for method, url in asked]

    server = start_server(users=[WRITER])
    repository = lakefs.Repository("roles", server.client).create("local://roles")
    branch = repository.branch("run").create("main")
    branch.object("o").upload(b"x", pre_sign=False)
    urls = presigned(server)
    assert statuses(server, urls) == [200, 200]
    server.kill()
    same = start_server(users=[READER, WRITER])
    assert statuses(same, urls) == [200, 200]
    same.kill()
    for users in ([], [{**WRITER, "branch": "main"}], [{**WRITER, "secret_key": "new"}]):
        changed = start_server(users=users)
        assert statuses(changed, urls) == [403, 403]
        changed.kill()
