"""What the SDK would not send: wrong credentials, forged URLs, hostile names, and their answers' exact shape."""

from __future__ import annotations

import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from slipway.embedded.lakefs_server.signing import Credentials, Signer

KEYS = ("AKIATESTKEY", "test-secret-key")


@pytest.fixture
def http(embedded: object) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{embedded.endpoint}/api/v1", auth=KEYS, timeout=60) as client:
        client.post("/repositories", json={"name": "wire", "storage_namespace": "local://wire"})
        client.post("/repositories/wire/branches/main/objects", params={"path": "o"}, content=b"data")
        yield client


@pytest.mark.parametrize(
    "auth",
    [None, ("AKIATESTKEY", "wrong"), ("wrong", "test-secret-key"), ("", "")],
    ids=["none", "secret", "key", "empty"],
)
def test_wrong_credentials_get_401_everywhere_but_health(embedded: object, auth: tuple[str, str] | None) -> None:
    with httpx.Client(base_url=f"{embedded.endpoint}/api/v1", auth=auth) as client:
        assert client.get("/healthcheck").status_code == 204
        for path in ("/config", "/user", "/repositories", "/repositories/wire/refs/main/objects?path=o"):
            assert client.get(path).status_code == 401
        upload = client.post("/repositories/wire/branches/main/objects?path=o", content=b"x" * 5_000_000)
        assert upload.status_code == 401
        assert set(upload.json()) == {"message"}


def test_malformed_authorization_is_401_not_a_crash(embedded: object) -> None:
    for header in ("Basic", "Basic !!!", "Basic /w==", "Bearer x", "Basic " + "A" * 9000):
        answer = httpx.get(f"{embedded.endpoint}/api/v1/user", headers={"Authorization": header})
        assert answer.status_code == 401


@pytest.mark.parametrize("name", ["UP", "a", "-ab", "a_b", "../etc", "..", "a" * 64, "abc\n", "a\0b"])
def test_bad_repository_names_are_refused(http: httpx.Client, name: str) -> None:
    body = {"name": name, "storage_namespace": "local://x"}
    assert http.post("/repositories", json=body).status_code == 400


@pytest.mark.parametrize("path", ["", "..", "../../etc/passwd", "a/../b", "./a", "nul\0", "x" * 1025])
def test_bad_object_paths_are_refused(http: httpx.Client, path: str) -> None:
    objects = "/repositories/wire/branches/main/objects"
    assert http.post(objects, params={"path": path}, content=b"x").status_code == 400
    assert http.get("/repositories/wire/refs/main/objects", params={"path": path}).status_code == 400
    assert http.post(f"{objects}/delete", json={"paths": [path]}).status_code == 400


@pytest.mark.parametrize("path", ["/" * 1024, "a/" * 512, "x" * 1024])
def test_any_path_of_up_to_1024_bytes_is_an_object(http: httpx.Client, path: str) -> None:
    branch = {"name": f"deep-{len(path.split('/'))}", "source": "main"}
    assert http.post("/repositories/wire/branches", json=branch).status_code == 201
    objects = f"/repositories/wire/branches/{branch['name']}"
    assert http.post(f"{objects}/objects", params={"path": path}, content=b"deep").status_code == 201
    assert http.post(f"{objects}/commits", json={"message": "deep"}).status_code == 201
    read = http.get(f"/repositories/wire/refs/{branch['name']}/objects", params={"path": path})
    assert read.content == b"deep"
    found = http.get(f"/repositories/wire/refs/main/diff/{branch['name']}").json()["results"]
    assert path in [one["path"] for one in found]


def test_paths_in_the_url_lead_nowhere(http: httpx.Client) -> None:
    for target in (
        "/repositories/..%2f..%2fetc",
        "/repositories/%2e%2e/branches",
        "/storage/wire/objects/..%2f..%2fmeta.db",
    ):
        assert http.get(target).status_code in (403, 404)


@pytest.mark.parametrize(
    "body", ["[]", "{", '{"message": 1}', '{"message": "m", "metadata": {"a": 1}}', "[" * 100_000, "null"]
)
def test_bad_bodies_are_400(http: httpx.Client, body: str) -> None:
    assert http.post("/repositories/wire/branches/main/commits", content=body).status_code == 400


def test_an_objects_metadata_is_bounded(http: httpx.Client) -> None:
    url = "/repositories/wire/branches/main/objects/stat/user_metadata?path=o"
    assert http.put(url, json={"set": {"k": "v" * 65_535}}).status_code == 201
    answer = http.put(url, json={"set": {"k": "v" * 65_536}})
    assert (answer.status_code, "65536 characters" in answer.json()["message"]) == (400, True)


def test_text_that_is_not_unicode_is_400(http: httpx.Client) -> None:
    half = b'{"message": "\\ud800", "allow_empty": true, "paths": ["\\ud800"]}'
    assert http.post("/repositories/wire/branches/main/commits", content=half).status_code == 400
    assert http.post("/repositories/wire/branches/main/objects/delete", content=half).status_code == 400


@pytest.mark.parametrize("amount", ["1001", "-2", "x"])
def test_amounts_outside_the_schema_are_400(http: httpx.Client, amount: str) -> None:
    assert http.get("/repositories/wire/refs/main/objects/ls", params={"amount": amount}).status_code == 400


def test_minus_one_asks_for_the_largest_page(http: httpx.Client) -> None:
    page = http.get("/repositories/wire/refs/main/objects/ls", params={"amount": -1}).json()
    assert page["pagination"] == {"has_more": False, "next_offset": "", "results": 1, "max_per_page": 1000}


def test_head_range_and_conditional_reads(http: httpx.Client) -> None:
    url = "/repositories/wire/refs/main/objects?path=o"
    head = http.head(url)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "4", b"")
    assert http.get(url, headers={"If-None-Match": head.headers["etag"]}).status_code == 304
    part = http.get(url, headers={"Range": "bytes=1-2"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"at", "bytes 1-2/4")
    beyond = http.get(url, headers={"Range": "bytes=9-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */4")
    absent = http.head("/repositories/wire/refs/main/objects?path=absent")
    assert (absent.status_code, absent.content) == (404, b"")


def test_if_none_match_star_creates_only_once(http: httpx.Client) -> None:
    url = "/repositories/wire/branches/main/objects?path=only-once"
    headers = {"If-None-Match": "*"}
    assert [http.post(url, content=b"x", headers=headers).status_code for _ in range(2)] == [201, 412]


def test_protection_is_changed_only_by_who_saw_it(http: httpx.Client) -> None:
    http.post("/repositories", json={"name": "guarded", "storage_namespace": "local://guarded"})
    url = "/repositories/guarded/settings/branch_protection"
    seen = http.get(url).headers["etag"]
    assert http.put(url, json=[{"pattern": "main"}], headers={"If-Match": seen}).status_code == 204
    assert http.put(url, json=[], headers={"If-Match": seen}).status_code == 412


def test_signed_urls_accept_nothing_but_what_was_signed(http: httpx.Client, embedded: object) -> None:
    location = http.get(
        "/repositories/wire/branches/main/staging/backing", params={"path": "s", "presign": "True"}
    ).json()
    url = httpx.URL(location["presigned_url"])
    expires = url.params["expires"]
    forged = [
        url.copy_set_param("expires", str(int(expires) + 1)),
        url.copy_set_param("signature", "0" * 64),
        url.copy_set_param("signature", "ü"),
        url.copy_set_param("expires", "9" * 40),
        url.copy_with(path=url.path.replace("/wire/", "/guarded/")),
        url.copy_remove_param("signature"),
        url.copy_set_param("user", "root"),
        url.copy_set_param("user", "nobody"),
        url.copy_remove_param("user"),
    ]
    assert [httpx.put(one, content=b"x").status_code for one in forged] == [403] * len(forged)
    assert httpx.put(url, content=b"x").status_code == 200
    download = http.get("/repositories/wire/refs/main/objects/stat", params={"path": "o", "presign": "True"}).json()
    address = httpx.URL(download["physical_address"])
    assert httpx.get(address).content == b"data"
    assert httpx.get(address.copy_set_param("type", "text/html")).status_code == 403
    assert httpx.put(address, content=b"x").status_code in (403, 405)


def test_a_link_must_describe_what_was_uploaded(http: httpx.Client) -> None:
    backing = "/repositories/wire/branches/main/staging/backing"
    location = http.get(backing, params={"path": "s", "presign": "True"}).json()
    body = {"staging": location, "checksum": "0" * 32, "size_bytes": 1}
    assert http.put(backing, params={"path": "s"}, json=body).status_code == 400  # nothing uploaded yet
    etag = httpx.put(location["presigned_url"], content=b"xy").headers["etag"]
    assert http.put(backing, params={"path": "s"}, json=body).status_code == 400
    good = {"staging": location, "checksum": etag.strip('"'), "size_bytes": 2}
    assert http.put(backing, params={"path": "s"}, json=good).status_code == 200


def test_an_upload_that_breaks_off_leaves_nothing(http: httpx.Client, embedded: object) -> None:
    request = (
        b"POST /api/v1/repositories/wire/branches/main/objects?path=broken HTTP/1.1\r\nHost: x\r\n"
        b"Authorization: Basic QUtJQVRFU1RLRVk6dGVzdC1zZWNyZXQta2V5\r\nContent-Length: 9000000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", embedded.port)) as connection:
        connection.sendall(request + b"x" * 3_000_000)
    incoming = embedded.data / "repositories" / "wire" / "incoming"
    deadline = time.monotonic() + 10
    while list(incoming.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(incoming.iterdir()) == []
    assert http.head("/repositories/wire/refs/main/objects?path=broken").status_code == 404


def test_a_forms_part_named_content_is_the_object(http: httpx.Client) -> None:
    url = "/repositories/wire/branches/main/objects?path=form"
    files = {"other": b"no", "content": ("name.csv", b"a,b", "text/csv")}
    assert http.post(url, files=files, headers={"x-lakefs-meta-k": "v"}).status_code == 201
    stat = http.get("/repositories/wire/refs/main/objects/stat?path=form").json()
    assert (stat["size_bytes"], stat["content_type"], stat["metadata"]) == (3, "text/csv", {"k": "v"})
    assert http.get("/repositories/wire/refs/main/objects?path=form").content == b"a,b"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not a form",
        b"--x\r\ncontent-disposition: form-data; name=other\r\n\r\nno\r\n--x--\r\n",
        b"--x\r\ncontent-disposition: form-data; name=content\r\n\r\nbroken o",
        2 * b"--x\r\ncontent-disposition: form-data; name=content\r\n\r\ntwo\r\n" + b"--x--\r\n",
        b"--x\r\ncontent-disposition: form-data; name=content; a=" + b"a" * 60_000 + b"\r\n\r\n\r\n--x--\r\n",
    ],
    ids=["empty", "no form", "no content", "broken off", "two", "huge header"],
)
def test_bad_forms_are_400_and_leave_nothing(http: httpx.Client, body: bytes) -> None:
    url = "/repositories/wire/branches/main/objects?path=bad-form"
    for boundary in ("; boundary=x", ""):
        answer = http.post(url, content=body, headers={"content-type": f"multipart/form-data{boundary}"})
        assert answer.status_code == 400
        assert "invalid form" in answer.json()["message"]
    assert http.head("/repositories/wire/refs/main/objects?path=bad-form").status_code == 404


REQUEST = b"GET /api/v1/user HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"POST /api/v1/repositories HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
ENDLESS = {
    "one header": (REQUEST + b"X-A: ", b"a" * 2**16),
    "many headers": (REQUEST, b"X-A: aaaaaaaaaa\r\n" * 2**12),
    "the target": (b"GET /api/v1/user?", b"a" * 2**16),
    "trailers": (CHUNKED + b"X-A: ", b"a" * 2**16),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_heads_are_cut_off_before_they_fill_the_memory(embedded: object, name: str) -> None:
    begin, piece = ENDLESS[name]
    sent = 0
    with socket.create_connection(("127.0.0.1", embedded.port), timeout=20) as connection:
        connection.sendall(begin)
        with suppress(ConnectionError):
            while sent < 64 * 2**20:
                connection.sendall(piece)
                sent += len(piece)
    assert sent < 16 * 2**20


def test_a_head_just_too_large_is_told_so_and_the_largest_is_served(http: httpx.Client) -> None:
    answer = http.get("/user", headers={"X-A": "a" * 65_536})
    assert (answer.status_code, answer.headers["content-type"]) == (431, "application/json")
    assert "65536 bytes" in answer.json()["message"]
    assert http.get("/user", headers={"X-A": "a" * 60_000}).status_code == 200
    assert http.get("/user?" + "a" * 50_000, headers={"X-A": "a" * 16_000}).status_code == 431


def test_what_is_not_http_gets_a_400(embedded: object) -> None:
    with socket.create_connection(("127.0.0.1", embedded.port), timeout=20) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"}")


def test_signed_urls_expire(http: httpx.Client, embedded: object) -> None:
    credentials = Credentials.read(embedded.credentials)
    signer, past = Signer(credentials), int(time.time()) - 1

    def url(expires: int) -> str:
        place, seal = "uploads/" + "0" * 32, credentials.everyone()[0].seal
        signature = signer.sign("upload", expires, "wire", place, "", seal)
        query = f"expires={expires}&type=&user=admin&signature={signature}"
        return f"{embedded.endpoint}/api/v1/storage/wire/{place}?{query}"

    assert httpx.put(url(past + 60), content=b"x").status_code == 200
    late = httpx.put(url(past), content=b"x")
    assert (late.status_code, set(late.json())) == (403, {"message"})


def test_staging_addresses_expire(http: httpx.Client, embedded: object) -> None:
    backing = "/repositories/wire/branches/main/staging/backing"
    location = http.get(backing, params={"path": "late", "presign": "True"}).json()
    etag = httpx.put(location["presigned_url"], content=b"xy").headers["etag"].strip('"')
    upload = location["physical_address"].rsplit("/", 1)[1].split("-")[0]
    past = int(time.time()) - 1
    mac = Signer(Credentials.read(embedded.credentials)).sign("link", past, "wire", "main", "late", upload)
    body = {"staging": {"physical_address": f"local://wire/staged/{upload}-{past}-{mac}"}}
    late = http.put(backing, params={"path": "late"}, json={**body, "checksum": etag, "size_bytes": 2})
    assert late.status_code == 400
    assert "expired" in late.json()["message"]


def test_unknown_operations_say_so(http: httpx.Client) -> None:
    answer = http.post("/repositories/wire/branches/main/import", json={})
    assert answer.status_code in (404, 405)
    assert "part of lakeFS" in answer.json()["message"]


def test_data_is_private_and_used_by_one_server_only(embedded: object, tmp_path: Path) -> None:
    assert stat.S_IMODE(embedded.data.stat().st_mode) & 0o077 == 0
    command = [sys.executable, "-m", "slipway.embedded.lakefs_server", "--data", str(embedded.data), "--port", "1"]
    ended = subprocess.run(
        [*command, "--credentials", str(embedded.credentials)],
        capture_output=True, text=True, timeout=60, check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[3] / "include")},
    )  # fmt: skip
    assert ended.returncode == 2
    assert "another server" in ended.stderr
