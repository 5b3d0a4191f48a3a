"""lakefs-spec, lakeFS's fsspec file system, as a client."""

from __future__ import annotations

from pathlib import Path

import lakefs
import pandas as pd
import pytest
from lakefs_spec import LakeFSFileSystem


@pytest.fixture
def files(client: lakefs.client.Client) -> LakeFSFileSystem:
    keys = client.config.username, client.config.password
    # its instances are cached by their arguments, and with them what they have listed
    host = client.config.host.removesuffix("/api/v1")
    return LakeFSFileSystem(host=host, username=keys[0], password=keys[1], skip_instance_cache=True)


@pytest.fixture
def at(repository: lakefs.Repository, main: lakefs.Branch) -> str:
    """The address of main, which has the objects kept, changed and removed."""
    return f"lakefs://{repository.id}/main"


def names(found: list[dict[str, object]]) -> list[tuple[str, str]]:
    return [(str(one["name"]).split("/", 1)[1], str(one["type"])) for one in found]


def test_files_go_up_are_listed_described_and_come_down(files: LakeFSFileSystem, at: str, tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(bytes(range(256)) * 8192)
    files.put(str(source), f"{at}/dir/part-0.bin")
    assert names(files.ls(f"{at}/")) == [
        ("main/changed", "file"), ("main/dir/", "directory"), ("main/kept", "file"), ("main/removed", "file"),
    ]  # fmt: skip
    info = files.info(f"{at}/dir/part-0.bin")
    assert (info["type"], info["size"]) == ("file", source.stat().st_size)
    assert files.info(f"{at}/dir")["type"] == "directory"
    files.get(f"{at}/dir/part-0.bin", str(tmp_path / "copy.bin"))
    assert (tmp_path / "copy.bin").read_bytes() == source.read_bytes()
    assert files.checksum(f"{at}/dir/part-0.bin") == info["checksum"]


def test_folders_go_up_and_down_whole(files: LakeFSFileSystem, at: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for name in ("a", "sub/b"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    files.put(str(folder), f"{at}/up", recursive=True)
    files.get(f"{at}/up", str(tmp_path / "down"), recursive=True)
    found = {str(one.relative_to(tmp_path / "down")) for one in (tmp_path / "down").rglob("*") if one.is_file()}
    assert found == {"a", "sub/b"}


def test_reading_seeks_and_ends(files: LakeFSFileSystem, at: str) -> None:
    with files.open(f"{at}/letters", "wb") as target:
        target.write(b"abcdefghij")
    with files.open(f"{at}/letters", "rb") as source:
        source.seek(3)
        assert source.read(2) == b"de"
        assert source.read() == b"fghij"
    assert files.tail(f"{at}/letters", 3) == b"hij"
    assert files.cat(f"{at}/letters") == b"abcdefghij"


def test_removing_and_copying(files: LakeFSFileSystem, at: str) -> None:
    files.cp_file(f"{at}/kept", f"{at}/copies/kept")
    assert files.cat(f"{at}/copies/kept") == b"kept"
    files.rm(f"{at}/changed")
    files.rm(f"{at}/copies", recursive=True)
    assert not files.exists(f"{at}/changed")
    assert not files.exists(f"{at}/copies/kept")
    with pytest.raises(FileNotFoundError):
        files.info(f"{at}/never-was")


def test_writing_to_a_branch_that_is_not_there_creates_it(
    files: LakeFSFileSystem, repository: lakefs.Repository, at: str, tmp_path: Path
) -> None:
    (tmp_path / "new").write_text("new")
    files.put(str(tmp_path / "new"), f"lakefs://{repository.id}/made-on-write/new")
    assert [one.id for one in repository.branches()] == ["made-on-write", "main"]
    assert files.cat(f"lakefs://{repository.id}/made-on-write/kept") == b"kept"


def test_a_transaction_commits_merges_and_drops_its_branch(
    files: LakeFSFileSystem, repository: lakefs.Repository, at: str, tmp_path: Path
) -> None:
    (tmp_path / "new").write_text("new")
    with files.transaction(repository.id, "main", branch_name="tx") as tx:
        files.put(str(tmp_path / "new"), f"lakefs://{repository.id}/{tx.branch.id}/new")
        made = tx.commit("from fsspec", metadata={"run": "7"})
        tx.tag(made, "v1")
        assert not files.exists(f"{at}/new")
    assert files.cat(f"{at}/new") == b"new"
    assert repository.ref("v1").get_commit().metadata == {"run": "7"}
    assert [one.id for one in repository.branches()] == ["main"]


def test_a_transaction_reverts(files: LakeFSFileSystem, repository: lakefs.Repository, at: str) -> None:
    with files.transaction(repository.id, "main") as tx:
        tx.revert(tx.branch, "main")
    assert [one.path for one in repository.branch("main").objects()] == []


def test_a_transaction_that_fails_changes_nothing(
    files: LakeFSFileSystem, repository: lakefs.Repository, at: str, tmp_path: Path
) -> None:
    (tmp_path / "new").write_text("new")
    before = repository.branch("main").get_commit().id
    with pytest.raises(RuntimeError), files.transaction(repository.id, "main", branch_name="failed") as tx:
        files.put(str(tmp_path / "new"), f"lakefs://{repository.id}/failed/new")
        tx.commit("half of it")
        raise RuntimeError("the other half")
    assert repository.branch("main").get_commit().id == before
    assert repository.branch("failed").object("new").exists()  # kept to be looked at


def test_pandas_reads_and_writes_lakefs_addresses(files: LakeFSFileSystem, at: str) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]})
    with files.open(f"{at}/table.parquet", "wb") as target:
        frame.to_parquet(target)
    with files.open(f"{at}/table.parquet", "rb") as source:
        pd.testing.assert_frame_equal(pd.read_parquet(source), frame)
