"""The frame of every page: its style, its head with the search box, and what a browser is allowed to do with it.

No scripts and nothing loaded from elsewhere; every value that comes from data is escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from html import escape

from slipway.ledger.pages.links import Links

STYLE = """
:root{color-scheme:light dark;--ink:#1c2733;--soft:#5b6875;--line:#d3dae2;--card:#fff;--page:#f4f6f8;--link:#1f5fa8;
--edge:#9aa8b6;--good:#1b7f4d;--bad:#b3261e;--badbg:#fdeeec;--mark:#8a6100;--markbg:#fff4d6}
@media(prefers-color-scheme:dark){:root{--ink:#e6ebf0;--soft:#9aa7b4;--line:#36414c;--card:#1b232b;--page:#12181e;
--link:#7db4ee;--edge:#5d6b79;--good:#4cc38a;--bad:#ff8a80;--badbg:#3a1f1e;--mark:#f2c14e;--markbg:#3a3118}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.45 system-ui,sans-serif}
header{background:var(--card);border-bottom:1px solid var(--line)}
header div{max-width:1280px;margin:auto;padding:10px 20px;display:flex;gap:24px;align-items:center;flex-wrap:wrap}
header a{font-weight:650;color:var(--ink);text-decoration:none}
form{display:flex;gap:8px;align-items:center}
header form{margin-left:auto}
input,button{font:inherit;color:inherit;background:var(--page);border:1px solid var(--line);border-radius:6px;
padding:5px 10px}
input[type=search]{width:330px;max-width:60vw}
button{cursor:pointer}
main{max-width:1280px;margin:auto;padding:20px}
h1{font-size:22px;margin:0 0 4px;overflow-wrap:anywhere}h2{font-size:16px;margin:26px 0 8px}
p{margin:4px 0}
a{color:var(--link)}
a:focus-visible,summary:focus-visible,input:focus-visible,button:focus-visible{outline:2px solid var(--link);
outline-offset:2px;border-radius:3px}
.soft{color:var(--soft)}.good{color:var(--good)}.bad{color:var(--bad)}
.badge{display:inline-block;font-size:12px;font-weight:600;border-radius:10px;padding:1px 9px;border:1px solid;
vertical-align:middle;white-space:nowrap}
.badge.mark{color:var(--mark);background:var(--markbg)}
.badge.bad{background:var(--badbg)}
.verdict{border-left:6px solid var(--good);border-radius:6px;background:var(--card);padding:10px 16px;margin:14px 0}
.verdict.bad{border-color:var(--bad);background:var(--badbg);color:inherit}
.verdict.note{border-color:var(--edge)}
.verdict.bad b{color:var(--bad)}.verdict.good{color:inherit}.verdict.good b{color:var(--good)}
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 16px}
.scroll{overflow-x:auto}
.scroll:focus-visible{outline:2px solid var(--link)}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:5px 14px 5px 0;border-bottom:1px solid var(--line);vertical-align:top;
overflow-wrap:anywhere}
tr:last-child td,tr:last-child th{border-bottom:0}
th{font-weight:600;color:var(--soft);white-space:nowrap}
code,pre{font:13px/1.45 ui-monospace,monospace}
pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}
ul{margin:4px 0;padding-left:20px}
details{margin-top:8px}
summary{cursor:pointer}
.facts th{width:130px}
svg{display:block;margin:auto}
svg text{fill:var(--ink);font:12px system-ui,sans-serif}
svg .head{fill:var(--soft);font-size:12px;font-weight:600}
svg .title{font-size:13px;font-weight:600}
svg .line{fill:var(--soft);font-size:11.5px}
svg .mono{font-family:ui-monospace,monospace;font-size:11px}
svg .out{fill:var(--link);font-size:11.5px}
svg .good{fill:var(--good)}svg .bad{fill:var(--bad)}svg .mark{fill:var(--mark)}
svg rect{fill:var(--card);stroke:var(--line)}
svg .broken rect{stroke:var(--bad);stroke-width:2;fill:var(--badbg)}
svg .marked rect{stroke:var(--mark);stroke-width:2}
svg a:hover rect,svg a:focus-visible rect{stroke:var(--link);stroke-width:2}
svg a:hover .out,svg a:focus-visible .out{text-decoration:underline}
svg a:focus-visible{outline:2px solid var(--link);outline-offset:1px}
svg path{fill:none;stroke:var(--edge);stroke-width:1.5}
svg marker path{fill:var(--edge);stroke:none}
"""

HEADERS: Mapping[str, str] = {
    # No sandbox: from a document of nobody's origin, a browser would not send Airflow's login on to the next page.
    "Content-Security-Policy": "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    # Who may read it changes, and so does what was made of it.
    "Cache-Control": "private, no-store",
}


def document(title: str, body: str, links: Links, asked: str = "") -> bytes:
    """A whole page, UTF-8; ``body`` is HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)} · Slipway</title>"
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{STYLE}</style></head><body>\n"
        f'<header><div><a href="{escape(links.home())}">Slipway provenance</a>'
        f'<form action="{escape(links.find())}" role="search"><input type="search" name="q" required maxlength="200" '
        f'aria-label="Device, commit, version or fingerprint" placeholder="device, commit, version or fingerprint" '
        f'value="{escape(asked)}"><button>Find</button></form></div></header>\n'
        f"<main>\n{body}</main></body></html>\n"
    ).encode("utf-8", "replace")


def message(title: str, text: str, links: Links, asked: str = "") -> bytes:
    """A page that says one thing that went wrong."""
    body = f'<h1>{escape(title)}</h1><div class="verdict bad">{escape(text)}</div>'
    return document(title, body, links, asked)


def link(text: str, url: str | None, *, code: bool = False) -> str:
    """A link, or the text alone where there is nowhere to lead."""
    shown = f"<code>{escape(text)}</code>" if code else escape(text)
    return f'<a href="{escape(url)}">{shown}</a>' if url else shown


def table(rows: Iterable[Iterable[str]], heads: Iterable[str] = ()) -> str:
    """A table of HTML cells that scrolls by itself where it is too wide."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    top = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f'<div class="card scroll"><table>{top}<tbody>\n{body}</tbody></table></div>\n'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Names and their HTML values, one per line."""
    body = "".join(f"<tr><th>{escape(name)}</th><td>{value}</td></tr>\n" for name, value in rows)
    return f'<div class="card"><table class="facts"><tbody>\n{body}</tbody></table></div>\n'


def verdict(kind: str, bold: str, rest: str = "") -> str:
    """A banner, ``good``, ``bad`` or ``note``: a word in bold and text after it."""
    return f'<div class="verdict {kind}"><b>{escape(bold)}</b> {escape(rest)}</div>\n'


def moment(time: object) -> str:
    """A time for people, to the minute."""
    return f"{time:%Y-%m-%d %H:%M}"
