"""What was made of a commit: its versions, their releases, and the devices that run them: the recall list."""

from __future__ import annotations

from html import escape

from slipway.ledger.audit.answers import Affected, CommitAnswer
from slipway.ledger.pages.document import document, link, moment, table, verdict
from slipway.ledger.pages.drawing import Graph, Line, Node, columns, scrolling
from slipway.ledger.pages.fleet import devices_node, devices_section
from slipway.ledger.pages.links import Links
from slipway.release.fleet_history import Ran

_LISTED = 500
"""Versions that are listed, the newest."""
_DRAWN = 8
"""Versions that have boxes of their own, the newest."""


def commit_page(answer: CommitAnswer, links: Links) -> bytes:
    """The page of a commit."""
    place = f"{answer.repository}@{answer.commit}"
    page = links.lake(place)
    shown = link("in lakeFS", page) if page else f"<code>lakefs://{escape(place)}</code>"
    label = f"What was made of {answer.commit[:12]}"
    body = (
        f"<h1>Made of commit {escape(answer.commit[:12])}</h1>\n"
        f'<p class="soft">{shown} · {escape(", ".join(answer.roles))} of {escape(", ".join(answer.subjects))}</p>\n'
        f"{_said(answer)}{scrolling(commit_graph(answer, links), label)}\n"
        '<p class="soft">As the ledger\'s rows say. Whether the making of a version is proved, its own page says.</p>\n'
        f"{_versions(answer, links)}"
        f"{devices_section(answer.devices, links, '; '.join(gap.reason for gap in answer.gaps))}"
    )
    return document(label, body, links, answer.commit)


def commit_graph(answer: CommitAnswer, links: Links) -> Graph:
    """The commit, its newest versions with how their releases ended, and how many devices run each."""
    place = f"{answer.repository}@{answer.commit}"
    page = links.lake(place)
    commit = Node(
        key="commit",
        title=answer.commit[:12],
        lines=(Line(answer.repository), Line(", ".join(answer.roles))),
        outside=(("lakeFS", page),) if page else (),
        hover=f"lakefs://{place}",
        marked=True,
    )
    newest = answer.versions[-_DRAWN:][::-1]
    older = answer.versions[:-_DRAWN]
    versions = [_version(one, links) for one in newest]
    devices = [devices_node(f"devices {_key(one)}", _ran(answer.devices, (one,)), "#devices") for one in newest]
    arrows = {("commit", node.key) for node in versions}
    arrows |= {(_key(one), f"devices {_key(one)}") for one in newest}
    if older:
        versions.append(Node("older", f"{len(older)} older", (Line("open the list"),), "#versions"))
        devices.append(devices_node("devices older", _ran(answer.devices, older), "#devices"))
        arrows |= {("commit", "older"), ("older", "devices older")}
    named = [("commit", [commit]), ("versions", versions), ("devices", devices)]
    return Graph(columns(named), frozenset(arrows))


def _said(answer: CommitAnswer) -> str:
    if not answer.versions:
        return verdict("note", "No version", "was made of it.")
    made = f"{len(answer.versions)} version{'s' if len(answer.versions) > 1 else ''}"
    if answer.devices is None:
        return verdict("bad", f"{made} were made of it;", "which devices run them is not known now.")
    running = {ran.device_id for ran in answer.running}
    return verdict("note", f"{made}", f"made of it; {len(running)} devices run one of them now.")


def _version(one: Affected, links: Links) -> Node:
    ended = one.releases[-1].outcome.replace("_", " ") if one.releases else "never released"
    return Node(
        key=_key(one),
        title=f"version {one.version}",
        lines=(Line(one.pipeline), Line(ended)),
        href=links.version(one.pipeline, one.version),
        hover=f"{one.pipeline}, version {one.version}, registered {moment(one.registered)} UTC",
    )


def _versions(answer: CommitAnswer, links: Links) -> str:
    if not answer.versions:
        return ""
    rows = [
        (
            link(f"{one.pipeline}, version {one.version}", links.version(one.pipeline, one.version)),
            f"{moment(one.registered)} UTC",
            escape("; ".join(f"{end.outcome.replace('_', ' ')} {moment(end.ended)}" for end in one.releases) or "none"),
            "<br>".join(f"{escape(made.path)} <code>{escape(made.sha256[:12])}</code>" for made in one.artifacts),
        )
        for one in reversed(answer.versions[-_LISTED:])
    ]
    left = len(answer.versions) - len(rows)
    rest = (
        f"<p>and {left} older: <code>slipway audit commit {escape(answer.commit)}</code> lists all</p>" if left else ""
    )
    return f'<h2 id="versions">Versions</h2>{table(rows, ("version", "registered", "releases", "artifacts"))}{rest}'


def _ran(devices: tuple[Ran, ...] | None, versions: tuple[Affected, ...]) -> list[Ran] | None:
    if devices is None:
        return None
    wanted = {(one.pipeline, one.version) for one in versions}
    return [ran for ran in devices if (ran.pipeline, ran.version) in wanted]


def _key(one: Affected) -> str:
    return f"{one.pipeline} {one.version}"
