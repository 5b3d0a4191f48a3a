from __future__ import annotations

import pytest

from slipway.errors import RegistryError
from slipway.identity.digest import sha256_bytes
from slipway.registry.registration import INDEX_TAG, Registration, index_of, read_index, verify

F = "f" * 64


def test_a_registration_of_good_values_is_accepted():
    artifacts = {"targets/x86-cpu/model.onnx": b"", "golden.npz": b""}
    Registration(name="flight_delay", fingerprint=F, onnx=b"", artifacts=artifacts, tags={"slipway.commit": "1"})


@pytest.mark.parametrize("name", ["Flight", "x", "a'b", "", "a" * 60])
def test_a_name_a_filter_would_misread_is_refused(name):
    with pytest.raises(RegistryError, match="expected a pipeline's name"):
        Registration(name=name, fingerprint=F, onnx=b"")


@pytest.mark.parametrize("fingerprint", ["f" * 63, "F" * 64, "' or 1=1", ""])
def test_a_fingerprint_that_is_none_is_refused(fingerprint):
    with pytest.raises(RegistryError, match="64 hex digits"):
        Registration(name="flight_delay", fingerprint=fingerprint, onnx=b"")


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../../up", "a//b", "./a", ""])
def test_a_path_outside_the_folder_is_refused(path):
    with pytest.raises(RegistryError, match="plain relative path"):
        Registration(name="flight_delay", fingerprint=F, onnx=b"", artifacts={path: b""})


def test_tags_the_registry_sets_cannot_be_given():
    with pytest.raises(RegistryError, match=INDEX_TAG):
        Registration(name="flight_delay", fingerprint=F, onnx=b"", tags={INDEX_TAG: "0"})


def test_the_index_says_what_every_file_was():
    index = index_of({"b": b"2", "a": b"1"})
    assert index == index_of({"a": b"1", "b": b"2"})
    assert read_index(index, sha256_bytes(index), "v") == {"a": sha256_bytes(b"1"), "b": sha256_bytes(b"2")}


def test_a_changed_index_is_refused():
    index = index_of({"a": b"1"})
    with pytest.raises(RegistryError, match="changed after registration"):
        read_index(index.replace(b"a", b"c"), sha256_bytes(index), "v")


def test_a_changed_file_is_refused():
    with pytest.raises(RegistryError, match=r"v: a has sha256"):
        verify("a", b"2", sha256_bytes(b"1"), "v")
