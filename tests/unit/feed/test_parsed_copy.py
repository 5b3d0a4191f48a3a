"""Parsed copies of the feed's files: the same rows, and never those of another file, parser or time."""

import os
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from slipway.feed.parsed_copy import file_state, parsed_copy

TABLE = pa.table({"day": [1, 2, 2], "value": ["a", None, "c"]})


class Parser:
    """A parser that counts how often it is asked."""

    def __init__(self, folder: Path, table: pa.Table = TABLE) -> None:
        self.module = folder / "parser.py"
        self.module.write_text("version 1")
        self.source = folder / "days.csv"
        self.source.write_text("anything")
        self.table, self.asked = table, 0

    def __call__(self) -> pa.Table:
        self.asked += 1
        return self.table

    def rows(self, folder: Path, options: tuple[str, ...] | None = None) -> pa.Table:
        state = file_state(self.source)
        return parsed_copy(folder, self.source, state=state, options=options, parser=self.module, parse=self)


@pytest.fixture
def parser(tmp_path: Path) -> Parser:
    return Parser(tmp_path)


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    return tmp_path / "feed"


def test_a_file_is_parsed_once_and_its_copy_has_the_same_rows_and_types(parser: Parser, copies: Path) -> None:
    assert parser.rows(copies).equals(TABLE)
    again = parser.rows(copies)
    assert parser.asked == 1
    assert again.equals(TABLE) and again.schema == TABLE.schema


def test_a_changed_file_a_changed_parser_and_other_columns_are_parsed_anew(parser: Parser, copies: Path) -> None:
    parser.rows(copies)
    os.utime(parser.source, ns=(1, 1))
    parser.rows(copies)
    parser.module.write_text("version 2")
    parser.rows(copies)
    parser.rows(copies, ("day",))
    assert parser.asked == 4


def test_a_copy_of_an_earlier_state_goes_when_a_new_one_is_kept(parser: Parser, copies: Path) -> None:
    parser.rows(copies)
    other = set(copies.iterdir())
    parser.rows(copies, ("day",))
    os.utime(parser.source, ns=(1, 1))
    parser.rows(copies)
    assert len(list(copies.iterdir())) == 2
    assert not other & set(copies.iterdir())


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_parsed_anew(parser: Parser, copies: Path) -> None:
    parser.rows(copies)
    stat = parser.source.stat()
    other = parser.source.with_name("other")
    other.write_text("ANYTHING")
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(parser.source)
    parser.rows(copies)
    assert parser.asked == 2


def test_what_a_killed_task_left_half_written_goes_and_what_is_being_written_stays(
    parser: Parser, copies: Path
) -> None:
    copies.mkdir()
    left, fresh = copies / ".left.draft", copies / ".fresh.draft"
    left.write_text("half")
    fresh.write_text("half")
    os.utime(left, (1, 1))
    parser.rows(copies)
    assert not left.exists() and fresh.exists()


def test_a_damaged_copy_is_made_again(parser: Parser, copies: Path, caplog: pytest.LogCaptureFixture) -> None:
    parser.rows(copies)
    (copy,) = copies.iterdir()
    copy.write_bytes(copy.read_bytes()[:40])
    assert parser.rows(copies).equals(TABLE)
    assert parser.rows(copies).equals(TABLE)
    assert parser.asked == 2
    assert "it is made again" in caplog.text


def test_where_no_copy_can_be_kept_the_rows_come_all_the_same(
    parser: Parser, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert parser.rows(tmp_path / "file" / "feed").equals(TABLE)
    assert "the next task parses it again" in caplog.text


def test_tasks_that_come_at_once_all_get_the_rows_and_leave_one_copy(parser: Parser, copies: Path) -> None:
    together = threading.Barrier(8)
    found: list[pa.Table] = []

    def task() -> None:
        together.wait()
        found.append(parser.rows(copies))

    threads = [threading.Thread(target=task) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [table.equals(TABLE) for table in found] == [True] * 8
    assert len(list(copies.iterdir())) == 1
