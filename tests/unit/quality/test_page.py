from html.parser import HTMLParser

import pyarrow as pa

from slipway.pipeline.spec import ColumnRule, Contract
from slipway.quality.check import check

CONTRACT = Contract(
    min_rows=1,
    max_rows=100,
    columns={"x": ColumnRule(type="float64", min=0), "name": ColumnRule(type="string")},
    extra_columns=True,
)


class Page(HTMLParser):
    """Tags and text in order; fails on a tag that is closed but was not opened."""

    void = frozenset({"meta", "rect"})

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(data.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page(values: list[float | None], names: list[str], **extra: list[object]) -> Page:
    data = pa.table({"x": pa.array(values, pa.float64()), "name": pa.array(names, pa.string()), **extra})
    return Page(check("sample", data, CONTRACT, "2013-01-01").to_html())


def test_the_verdict_stands_on_top_and_failures_before_the_columns() -> None:
    failed = page([-1.0, 2.0], ["a", "b"])

    assert failed.open == []
    assert failed.text.index("sample, 2013-01-01: fail") < failed.text.index("What failed")
    assert failed.text.index("1 of 2 rows outside, such as -1.0") < failed.text.index("Columns")


def test_a_passing_page_has_no_failure_section() -> None:
    passed = page([1.0, 2.0], ["a", "b"])

    assert "sample, 2013-01-01: pass" in passed.text
    assert "What failed" not in passed.text


def test_every_column_with_values_is_drawn() -> None:
    assert page([1.0, 2.0], ["a", "b"]).tags.count("svg") == 2
    assert page([1.0, 1.0], ["a", "a"]).tags.count("svg") == 2
    assert page([-1.7e308, 1.7e308], ["a", "a"]).tags.count("svg") == 2
    assert page([None, None], ["a", "b"]).tags.count("svg") == 1
    assert page([], []).tags.count("svg") == 0


def test_values_from_data_cannot_become_markup() -> None:
    hostile = page([1.0], ["<b>x"], **{"<script>alert(1)</script>": [1]})

    assert "script" not in hostile.tags
    assert "<script>alert(1)</script>" in hostile.text
    assert "<b>x" in hostile.text


def test_frequent_values_that_begin_alike_are_told_apart_by_their_ends() -> None:
    hours = page([1.0, 2.0], ["2013-03-03T09:00:00Z", "2013-03-03T10:00:00Z"])
    assert "…T09:00:00Z" in hours.text and "…T10:00:00Z" in hours.text
    assert "a long name of a thing: 1" in page([1.0], ["a long name of a thing"]).text
    assert "a long nam…" in page([1.0], ["a long name of a thing"]).text
