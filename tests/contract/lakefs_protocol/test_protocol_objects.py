"""Objects through the official SDK: write, read, list, delete, copy."""

from __future__ import annotations

import hashlib

import lakefs
import lakefs_sdk
import pytest
from lakefs.exceptions import BadRequestException, NotFoundException, ObjectExistsException

TRICKY = [
    "a",
    "a/b",
    "a-b",
    "a//b",
    "/lead",
    "trail/",
    "ünï/côdé +%&?#=.txt",
    ".git/config",
    "date=2013-01-01/p.bin",
    "z",
]


@pytest.mark.parametrize("pre_sign", [False, True], ids=["direct", "presigned"])
def test_an_object_reads_back_as_it_was_written(repository: lakefs.Repository, pre_sign: bool) -> None:
    data = bytes(range(256)) * 20_000
    branch = repository.branch("main")
    branch.object("dir/data").upload(
        data, pre_sign=pre_sign, content_type="application/x-test", metadata={"owner": "me"}
    )
    stored = branch.object("dir/data")
    stat = stored.stat()
    assert stored.reader(pre_sign=pre_sign).read() == data
    assert stat.size_bytes == len(data)
    assert stat.checksum == hashlib.md5(data, usedforsecurity=False).hexdigest()
    assert stat.content_type == "application/x-test"
    assert stat.metadata == {"owner": "me"}
    assert stored.exists()


def test_the_generated_clients_uploads_are_forms(client: lakefs.Client, repository: lakefs.Repository) -> None:
    data = b"\r\n--".join([bytes(range(256))] * 20_000)  # looks like the ends of parts
    stat = client.sdk_client.objects_api.upload_object(repository.id, "main", "from-form", content=data)
    assert stat.size_bytes == len(data)
    assert repository.branch("main").object("from-form").reader(pre_sign=False).read() == data


@pytest.mark.parametrize("pre_sign", [False, True], ids=["direct", "presigned"])
def test_ranges_seeks_and_the_end_of_an_object(repository: lakefs.Repository, pre_sign: bool) -> None:
    branch = repository.branch("main")
    branch.object("letters").upload(b"abcdefghij", pre_sign=False)
    with branch.object("letters").reader(pre_sign=pre_sign) as reader:
        assert reader.read(3) == b"abc"
        reader.seek(-2, 2)
        assert reader.read() == b"ij"
        reader.seek(50)
        assert reader.read(1) == b""
    branch.object("empty").upload(b"", pre_sign=pre_sign)
    with branch.object("empty").reader(pre_sign=pre_sign) as reader:
        assert reader.read(5) == b""


def test_every_path_is_its_own_object_and_the_listing_is_in_byte_order(repository: lakefs.Repository) -> None:
    branch = repository.branch("main")
    for path in TRICKY:
        branch.object(path).upload(path.encode(), pre_sign=False)
    expected = sorted(TRICKY, key=str.encode)
    assert [one.path for one in branch.objects()] == expected  # staged
    branch.commit("all")
    assert [one.path for one in branch.objects(amount=2)] == expected  # committed, in pages
    assert all(branch.object(path).reader(pre_sign=False).read() == path.encode() for path in TRICKY)


def test_listing_with_prefix_delimiter_after_and_amount(repository: lakefs.Repository) -> None:
    branch = repository.branch("main")
    for path in ("a/1", "a/2", "a/x/1", "b", "c/1"):
        branch.object(path).upload(b"-", pre_sign=False)
    branch.commit("some")
    branch.object("c/2").upload(b"-", pre_sign=False)
    branch.object("a/1").delete()
    assert [one.path for one in branch.objects(delimiter="/")] == ["a/", "b", "c/"]
    assert [one.path for one in branch.objects(prefix="a/", delimiter="/")] == ["a/2", "a/x/"]
    assert [one.path for one in branch.objects(prefix="c")] == ["c/1", "c/2"]
    assert [one.path for one in branch.objects(after="a/2")] == ["a/x/1", "b", "c/1", "c/2"]
    assert [one.path for one in branch.objects(delimiter="/", after="a/", amount=1)] == ["b", "c/"]
    assert [one.path for one in branch.objects(max_amount=2)] == ["a/2", "a/x/1"]


def test_exclusive_create_refuses_an_existing_object(repository: lakefs.Repository) -> None:
    target = repository.branch("main").object("once")
    target.upload(b"1", mode="xb", pre_sign=False)
    with pytest.raises(ObjectExistsException):
        target.upload(b"2", mode="xb", pre_sign=False)
    assert target.reader(pre_sign=False).read() == b"1"


def test_deleting_is_repeatable_and_batches(repository: lakefs.Repository, main: lakefs.Branch) -> None:
    main.object("kept").delete()
    main.object("kept").delete()
    main.object("never-was").delete()
    assert not main.object("kept").exists()
    assert repository.ref("main@").object("kept").exists()
    main.delete_objects(["changed", "removed", "never-was"])
    assert list(main.objects()) == []
    with pytest.raises(FileNotFoundError):
        main.object("kept").reader(pre_sign=False).read()


def test_more_than_a_thousand_paths_in_one_batch_are_refused(main: lakefs.Branch) -> None:
    with pytest.raises(BadRequestException):
        main.delete_objects([f"p{number}" for number in range(1001)])


def test_copy_between_branches_keeps_the_entry(repository: lakefs.Repository, main: lakefs.Branch) -> None:
    other = repository.branch("other").create("main")
    copied = main.object("kept").copy("other", "copies/kept")
    assert copied.stat().checksum == main.object("kept").stat().checksum
    assert [one.path for one in other.uncommitted()] == ["copies/kept"]
    with pytest.raises(NotFoundException):
        main.object("absent").copy("other", "x")


def test_staging_link_makes_uploaded_bytes_an_object(client: lakefs.Client, repository: lakefs.Repository) -> None:
    api, pool = client.sdk_client.staging_api, client.sdk_client.staging_api.api_client.rest_client.pool_manager
    location = api.get_physical_address(repository.id, "main", "linked", presign=True)
    assert not repository.branch("main").object("linked").exists()
    etag = pool.request("PUT", location.presigned_url, body=b"bytes").headers["ETag"].strip('"')
    linked = lakefs_sdk.StagingMetadata(staging=location, checksum=etag, size_bytes=5, user_metadata={"k": "v"})
    stat = api.link_physical_address(repository.id, "main", "linked", staging_metadata=linked)
    assert (stat.path, stat.size_bytes, stat.metadata) == ("linked", 5, {"k": "v"})
    assert repository.branch("main").object("linked").reader(pre_sign=True).read() == b"bytes"
    with pytest.raises(lakefs_sdk.ApiException) as refused:  # bound to its path
        api.link_physical_address(repository.id, "main", "elsewhere", staging_metadata=linked)
    assert refused.value.status == 400


def test_presigned_stat_is_a_url_that_needs_no_credentials(client: lakefs.Client, main: lakefs.Branch) -> None:
    stat = main.object("kept").stat(pre_sign=True)
    assert stat.physical_address_expiry is not None
    pool = client.sdk_client.objects_api.api_client.rest_client.pool_manager
    answer = pool.request("GET", stat.physical_address, headers={"Range": "bytes=1-2"})
    assert (answer.status, answer.data) == (206, b"ep")
