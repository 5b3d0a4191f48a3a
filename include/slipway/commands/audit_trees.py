"""Answers about the past as trees for people; nothing in them is long: scripts take ``--json``."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence

from rich.text import Text
from rich.tree import Tree

from slipway.identity.code import combined
from slipway.ledger.audit.answers import (
    Affected,
    Artifact,
    CommitAnswer,
    DeviceAnswer,
    Gap,
    Making,
    ModelAnswer,
    Partition,
    Reign,
    Released,
    Step,
)
from slipway.ledger.audit.ask import released
from slipway.ledger.audit.plain import unix
from slipway.release.fleet_history import Ran

_MOST = 20
"""Lines of one kind."""


def device_tree(answer: DeviceAnswer) -> Tree:
    """What drove a device at a time."""
    ran = answer.ran
    what = f"version {ran.version} of {ran.pipeline}" if ran and ran.version else "nothing" if ran else "not known"
    tree = _tree(f"{answer.device_id} at {when(answer.at)}: {what}")
    if ran is None:
        _add(tree, "the gateway knows nothing of that time: before its first report, or after it left the fleet")
        return tree
    for line in _certainty(ran, answer.at):
        _add(tree, line)
    if ran.version is None:
        return tree
    target = answer.target or "target not known: the device left the fleet, or the gateway does not say"
    _add_artifacts(_add(tree, f"artifact  ({target})"), answer.artifacts)
    _add(tree, f"release  {ran.release or 'not named by the device'}{_ended(answer.release)}")
    if answer.making:
        _add_making(tree, answer.making)
    _add_gaps(tree, answer.gaps)
    return tree


def model_tree(answer: ModelAnswer) -> Tree:
    """How a version was made and where it runs."""
    tree = _tree(f"version {answer.version} of {answer.pipeline}")
    _add_making(tree, answer.making)
    _add_artifacts(_add(tree, "artifacts"), answer.making.artifacts)
    releases = _add(tree, f"releases  ({len(answer.making.releases)})")
    for step in answer.making.releases:
        _add(releases, f"{released(step).release}{_ended(step)}")
    champion = _add(tree, "champion" if answer.champion else "champion  never, as completed releases say")
    for reign in answer.champion:
        _add(champion, _reign(reign))
    _add_devices(tree, answer.devices)
    _add_gaps(tree, answer.gaps)
    return tree


def commit_tree(answer: CommitAnswer) -> Tree:
    """The recall list of a commit."""
    roles = ", ".join(answer.roles)
    tree = _tree(f"commit {answer.commit} of {answer.repository}  ({roles}; {', '.join(answer.subjects)})")
    versions = _add(tree, _counted(len(answer.versions), "version was", "versions were") + " made of it")
    # The newest matter most.
    for one in answer.versions[: -_MOST - 1 : -1]:
        _add_affected(versions, one)
    _add_rest(versions, len(answer.versions))
    _add_devices(tree, answer.devices)
    _add_gaps(tree, answer.gaps)
    return tree


def champions_tree(pipeline: str, reigns: Sequence[Reign], rolled_back: Sequence[Released]) -> Tree:
    """Who was champion when."""
    tree = _tree(f"champions of {pipeline}  (as completed releases say, newest first)")
    for reign in reigns[: -_MOST - 1 : -1]:
        _add(tree, f"version {reign.version}  {_reign(reign)}")
    _add_rest(tree, len(reigns))
    if rolled_back:
        back = _add(tree, f"rolled back  ({len(rolled_back)})")
        for one in rolled_back[: -_MOST - 1 : -1]:
            _add(back, f"version {one.version}  {one.release}, {when(one.ended)}")
        _add_rest(back, len(rolled_back))
    return tree


def when(moment: dt.datetime | None) -> str:
    """A time in UTC, to the second."""
    return "now" if moment is None else f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def _certainty(ran: Ran, at: dt.datetime) -> Iterable[str]:
    since, until = when(unix(ran.since)), when(unix(ran.until))
    yield f"ran it from {since} until {until}{', when it left the fleet' if ran.removed else ''}"
    if ran.clock == "device":
        yield f"as the device's own clock says, signed; received {when(unix(ran.received_at))}"
    else:
        yield "since is when the gateway received it: the device's clock was wrong, and the change may be earlier"
    if ran.until is None and ran.seen is not None and at.timestamp() > ran.seen:
        yield f"not sure: the gateway last heard of it {when(unix(ran.seen))}; what it ran later is assumed"


def _add_making(tree: Tree, making: Making) -> None:
    _add_step(tree, "registered", making.registered)
    for target, step in making.compiled.items():
        _add_step(tree, f"compiled for {target}", step)
    if making.exported:
        _add_step(tree, "exported", making.exported)
    if making.trained is None:
        _add(tree, "trained  by a run the ledger has no statement of")
        return
    trained = _add_step(tree, "trained", making.trained)
    _add(trained, f"data commit  {making.trained.statement.commits.get('data', 'none named')}")
    _add_partitions(trained, making.partitions)


def _add_step(tree: Tree, title: str, step: Step) -> Tree:
    one, ran = step.statement, step.statement.execution
    disputed = ", DISPUTED: the same fingerprint gave other outputs too" if step.disputed else ""
    branch = _add(tree, f"{title}  {when(ran.finished)}, fingerprint {one.fingerprint[:12]}{disputed}")
    _add(branch, f"run  {ran.run_url}")
    dirty = " with uncommitted changes" if ran.git_dirty else ""
    checkout = f"git {ran.git_commit}{dirty}" if ran.git_commit else "no git checkout"
    _add(branch, f"code  {checkout}, digest {combined(one.ingredients.code)[:12]}")
    machine = ", ".join(f"{name} {value}" for name, value in ran.machine.items())
    _add(branch, f"hardware  {one.ingredients.hardware}{f' ({machine})' if machine else ''}")
    return branch


def _add_partitions(tree: Tree, partitions: Sequence[Partition]) -> None:
    if not partitions:
        _add(tree, "data  of which the ledger has no statements")
        return
    raw = sum(len(one.raw) for one in partitions)
    span = f"{partitions[0].day} .. {partitions[-1].day}"
    branch = _add(tree, f"data  {span}: {_counted(len(partitions), 'day', 'days')}, {raw} raw objects")
    for one in partitions[:_MOST]:
        day = _add(branch, f"{one.day}  {', '.join(f'{role} {at}' for role, at in one.commits.items())}")
        for path, sha in one.raw.items():
            _add(day, f"{path}  sha256 {sha}")
    _add_rest(branch, len(partitions))


def _add_affected(tree: Tree, one: Affected) -> None:
    branch = _add(tree, f"version {one.version} of {one.pipeline}  registered {when(one.registered)}")
    _add_artifacts(branch, one.artifacts)
    for ended in one.releases:
        _add(branch, f"release  {ended.release}: {ended.outcome} {when(ended.ended)}")


def _add_artifacts(tree: Tree, made: Iterable[Artifact]) -> None:
    for one in made:
        _add(tree, f"{one.path}  sha256 {one.sha256}")


def _add_devices(tree: Tree, devices: Sequence[Ran] | None) -> None:
    if devices is None:
        return
    now = [ran for ran in devices if ran.now]
    names = {ran.device_id for ran in now}
    earlier = [ran for ran in devices if ran.device_id not in names]
    past = {ran.device_id: ran for ran in earlier}
    branch = _add(tree, f"devices  {len(names)} run it now, {len(past)} did")
    counted = Counter(ran.version for ran in now)
    for title, some in (("now", now), ("earlier", list(past.values()))):
        if some:
            below = _add(branch, f"{title}  ({_versions(counted)})" if title == "now" else title)
            for ran in some[:_MOST]:
                times = f"{when(unix(ran.since))} .. {when(unix(ran.until))}"
                _add(below, f"{ran.device_id}  version {ran.version}, {times}{', removed' if ran.removed else ''}")
            _add_rest(below, len(some))


def _versions(counted: Counter[str | None]) -> str:
    told = ", ".join(f"version {version}: {count}" for version, count in counted.most_common(5))
    return f"{told}{', …' if len(counted) > 5 else ''}"


def _add_gaps(tree: Tree, gaps: Iterable[Gap]) -> None:
    for gap in gaps:
        tree.add(Text(f"missing, from the {gap.source}: {gap.reason}", style="red"))


def _add_rest(tree: Tree, count: int) -> None:
    if count > _MOST:
        _add(tree, f"… {count - _MOST} more (--json has all)")


def _ended(step: Step | None) -> str:
    if step is None:
        return "  (the ledger has no statement of its end: under way, or stopped)"
    return f"  {released(step).outcome} {when(released(step).ended)}, run {step.statement.execution.run_url}"


def _reign(reign: Reign) -> str:
    return f"{when(reign.since)} .. {when(reign.until)}, {reign.release}"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _tree(text: str) -> Tree:
    return Tree(Text(text, style="bold"))


def _add(tree: Tree, text: str) -> Tree:
    return tree.add(Text(text))
