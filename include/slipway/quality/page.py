"""A quality report as one self-contained HTML page: the verdict first, then what failed, then every column drawn.

No scripts and nothing loaded from elsewhere; every value that comes from data is escaped.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.quality.report import ColumnStatistics, Expectation, Histogram, QualityReport

_WIDTH, _HEIGHT = 240, 80  # of a plot, in CSS pixels
_LABEL = 11  # characters that fit beside a bar

_STYLE = """
:root{--ink:#1c2733;--soft:#5b6875;--line:#d8dee5;--card:#fff;--page:#f4f6f8;--bar:#3b78b8;--pass:#1b7f4d;--fail:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e6ebf0;--soft:#9aa7b4;--line:#36414c;--card:#1b232b;--page:#12181e;
--bar:#6ba4dc;--pass:#4cc38a;--fail:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;padding:24px;background:var(--page);color:var(--ink);font:15px/1.45 system-ui,sans-serif}
main{max-width:1100px;margin:auto}
h1{font-size:22px;margin:0}h2{font-size:17px;margin:28px 0 10px}h3{font-size:14px;margin:0;overflow-wrap:anywhere}
.verdict{border-left:6px solid;border-radius:6px;background:var(--card);padding:14px 18px}
.verdict.pass{border-color:var(--pass)}.verdict.fail{border-color:var(--fail)}
.pass b,td.pass{color:var(--pass)}.fail b,td.fail{color:var(--fail)}
p{margin:6px 0 0;color:var(--soft)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;background:var(--card);border-radius:6px}
th,td{text-align:left;padding:6px 10px;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
th{font-weight:600;color:var(--soft)}
td:nth-child(-n+3),th{white-space:nowrap}
.columns{display:grid;grid-template-columns:repeat(auto-fill,minmax(250px,1fr));gap:12px}
.card{background:var(--card);border-radius:6px;padding:12px}
.card p{font-size:13px}
svg{display:block;width:100%;height:auto;margin-top:8px}
rect{fill:var(--bar)}text{fill:var(--soft);font:10px system-ui,sans-serif}
"""


def render(report: QualityReport) -> bytes:
    """The page, UTF-8."""
    title = report.dataset + (f", {report.partition}" if report.partition else "")
    passed = len(report.expectations) - len(report.failures)
    failed = _section("What failed", report.failures) if report.failures else ""
    return (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}: {report.outcome}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main>\n"
        f'<div class="verdict {report.outcome}"><h1>{escape(title)}: <b>{report.outcome}</b></h1>'
        f"<p>{passed} of {len(report.expectations)} expectations met, {report.rows} rows</p></div>\n"
        f"{failed}"
        f'<h2>Columns</h2><div class="columns">\n{"".join(map(_card, report.columns))}</div>\n'
        f"{_section('All expectations', report.expectations)}"
        "</main></body></html>\n"
    ).encode()


def _section(heading: str, expectations: Sequence[Expectation]) -> str:
    rows = "".join(
        f"<tr><td>{escape(item.column or '(dataset)')}</td><td>{escape(item.name)}</td>"
        f'<td class="{item.outcome}">{item.outcome}</td>'
        f"<td>{escape(item.observed)}</td><td>{escape(item.expected)}</td></tr>\n"
        for item in expectations
    )
    return (
        f'<h2>{heading}</h2><div class="scroll"><table><thead><tr><th>column</th><th>rule</th><th>outcome</th>'
        f"<th>observed</th><th>expected</th></tr></thead><tbody>\n{rows}</tbody></table></div>\n"
    )


def _card(column: ColumnStatistics) -> str:
    facts = [column.type, f"{column.nulls} nulls", f"{column.distinct} distinct"]
    if column.mean is not None:
        facts.append(f"mean {column.mean:.4g}")
    plot = ""
    if column.histogram is not None:
        plot = _bars(column.name, column.histogram)
    elif column.top:
        plot = _ranking(column.name, column.top)
    return f'<div class="card"><h3>{escape(column.name)}</h3><p>{escape(", ".join(facts))}</p>{plot}</div>\n'


def _bars(name: str, histogram: Histogram) -> str:
    """Vertical bars, one per bin, with the smallest and largest value below."""
    highest = max(histogram.counts)
    step = _WIDTH / len(histogram.counts)
    bars = "".join(
        f'<rect x="{index * step:.1f}" y="{_HEIGHT - tall:.1f}" width="{step - 1:.1f}" height="{tall:.1f}">'
        f"<title>{histogram.edges[index]:.4g} to {histogram.edges[index + 1]:.4g}: {count}</title></rect>"
        for index, count in enumerate(histogram.counts)
        for tall in [_HEIGHT * count / highest]
    )
    ends = (
        f'<text x="0" y="{_HEIGHT + 12}">{histogram.edges[0]:.4g}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT + 12}" text-anchor="end">{histogram.edges[-1]:.4g}</text>'
    )
    return _svg(f"distribution of {name}", _HEIGHT + 16, bars + ends)


def _ranking(name: str, top: Sequence[tuple[str, int]]) -> str:
    """Horizontal bars, the most frequent value first."""
    labels = _labels([value for value, _ in top])
    bars = "".join(
        f'<rect x="70" y="{index * 14 + 2}" width="{130 * count / top[0][1]:.1f}" height="10">'
        f"<title>{escape(value)}: {count}</title></rect>"
        f'<text x="66" y="{index * 14 + 11}" text-anchor="end">{escape(labels[index])}</text>'
        f'<text x="{74 + 130 * count / top[0][1]:.1f}" y="{index * 14 + 11}">{count}</text>'
        for index, (value, count) in enumerate(top)
    )
    return _svg(f"most frequent values of {name}", 14 * len(top) + 4, bars)


def _labels(values: Sequence[str]) -> list[str]:
    """Values cut to what fits: at their ends, or at their beginnings where those do not tell them apart."""
    beginnings = [_cut(value) for value in values]
    if len(set(beginnings)) == len(set(values)):
        return beginnings
    return [_cut(value[::-1])[::-1] for value in values]


def _cut(value: str) -> str:
    return value if len(value) <= _LABEL else f"{value[: _LABEL - 1]}…"


def _svg(label: str, height: int, content: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(label)}">{content}</svg>'
