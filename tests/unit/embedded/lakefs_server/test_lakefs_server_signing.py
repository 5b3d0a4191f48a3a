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
    assert CREDENTIALS.accept(basic(b"key:secret"))
    wrong = ["", "Basic", basic(b""), basic(b"key"), basic(b"key:"), basic(b"key:secret "), basic(b"\xff"), "Basic é"]
    assert not any(CREDENTIALS.accept(header) for header in wrong)
    assert not CREDENTIALS.accept(basic(b"key:secret").replace("Basic", "Bearer"))


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
