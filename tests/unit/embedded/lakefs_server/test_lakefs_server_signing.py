"""Credentials and signatures."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest

from slipway.embedded.lakefs_server.signing import Credentials, Signer
from slipway.errors import ConfigurationError

CREDENTIALS = Credentials("key", "secret")


def basic(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


def test_only_the_pair_itself_is_accepted() -> None:
    assert CREDENTIALS.user(basic(b"key:secret")) == CREDENTIALS.everyone()[0]
    wrong = ["", "Basic", basic(b""), basic(b"key"), basic(b"key:"), basic(b"key:secret "), basic(b"\xff"), "Basic é"]
    assert not any(CREDENTIALS.user(header) for header in wrong)
    assert not CREDENTIALS.user(basic(b"key:secret").replace("Basic", "Bearer"))


def test_credentials_others_can_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(json.dumps({"lakefs_access_key": "key", "lakefs_secret_key": "secret", "other": 1}))
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        Credentials.read(path)
    path.chmod(0o600)
    assert Credentials.read(path) == CREDENTIALS
    assert "secret" not in repr(Credentials.read(path)).replace("secret_key", "")


EMPTY = '{"lakefs_access_key": "", "lakefs_secret_key": ""}'


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"lakefs_access_key": "k"}', EMPTY])
def test_incomplete_credentials_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError):
        Credentials.read(path)


def test_a_signature_is_good_for_its_purpose_parts_and_time_only() -> None:
    signer, soon = Signer(CREDENTIALS), int(time.time()) + 60
    signature = signer.sign("upload", soon, "repo", "path")
    assert signer.accepts(signature, "upload", soon, "repo", "path")
    assert not signer.accepts(signature, "download", soon, "repo", "path")
    assert not signer.accepts(signature, "upload", soon + 1, "repo", "path")
    assert not signer.accepts(signature, "upload", soon, "rep", "opath")
    assert not Signer(Credentials("key", "other")).accepts(signature, "upload", soon, "repo", "path")
    past = int(time.time()) - 1
    assert not signer.accepts(signer.sign("upload", past, "repo"), "upload", past, "repo")


READER = {"id": "reader", "access_key": "r", "secret_key": "hidden-1", "role": "read"}
WRITER = {**READER, "id": "writer", "access_key": "w", "role": "write", "repository": "repo", "branch": "run"}


def credentials(tmp_path: Path, *users: dict[str, str]) -> Credentials:
    path = tmp_path / "secrets.json"
    path.write_text(json.dumps({"lakefs_access_key": "key", "lakefs_secret_key": "secret", "users": users}))
    path.chmod(0o600)
    return Credentials.read(path)


def test_each_key_pair_is_its_own_users(tmp_path: Path) -> None:
    found = credentials(tmp_path, READER, WRITER)
    pairs = {b"key:secret": "admin", b"r:hidden-1": "reader", b"w:hidden-1": "writer"}
    for pair, name in pairs.items():
        user = found.user(basic(pair))
        assert user is not None
        assert user.id == name
    assert found.user(basic(b"key:hidden-1")) is None
    assert "hidden-1" not in repr(found)


def test_a_writer_writes_one_branch_a_reader_none_and_an_admin_all(tmp_path: Path) -> None:
    admin, reader, writer = credentials(tmp_path, READER, WRITER).everyone()
    places = [("repo", "run"), ("repo", "main"), ("other", "run"), ("repo", None), (None, None)]
    assert [admin.may_write(*place) for place in places] == [True] * 5
    assert [reader.may_write(*place) for place in places] == [False] * 5
    assert [writer.may_write(*place) for place in places] == [True, False, False, False, False]


@pytest.mark.parametrize(
    "user",
    [
        {**READER, "role": "owner"},
        {**READER, "id": "admin"},
        {**READER, "access_key": "key"},
        {**READER, "access_key": "with:colon"},
        {**READER, "secret_key": ""},
        {**READER, "branch": "run"},
        {**READER, "role": "write"},
        {**READER, "unknown": "field"},
        {"id": "reader", "role": "read", "secret_key": "hidden-1"},
    ],
)
def test_users_that_do_not_make_sense_are_refused_without_showing_secrets(tmp_path: Path, user: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        credentials(tmp_path, user)
    assert "hidden-1" not in str(refused.value)
