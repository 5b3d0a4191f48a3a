"""What the demo reached, gathered from the ledger, the channel and the gateway."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from slipway.embedded.airflow_api import TaskRun
from slipway.errors import SlipwayError
from slipway.ledger.statement import Statement


def build_report(
    *,
    days: Sequence[str],
    ingested: Sequence[Statement],
    registered: Statement,
    released: Statement,
    devices: Sequence[Mapping[str, Any]],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """The report as JSON data.

    Args:
        days: the partitions the demo asked for.
        ingested: statements of the features stage.
        registered: the statement of the model version.
        released: the statement of its release.
        devices: the gateway's view of the fleet: ``device_id``, ``target``, ``version``.
        seconds: wall seconds per stage and ``total``.
    """
    made = registered.details
    version = registered.subject
    return {
        "pipeline": registered.pipeline,
        "partitions": len({statement.subject for statement in ingested} & set(days)),
        "features_commit": registered.commits["data"].partition("@")[2],
        "model": {
            "name": registered.pipeline,
            "version": version,
            "metric": made["metric"],
            "metrics": made["metrics"],
            "baseline": made["baseline"],
            "fingerprint": registered.ingredients.parameters["version_of"],
            "learned_from": made["partitions"],
            "held_out": made["holdout"],
        },
        "targets": made["targets"],
        "release": {
            "release": released.ingredients.parameters["release"],
            "outcome": released.details["outcome"],
            "phases": [
                {"percent": phase["percent"], "verdict": phase["verdict"]} for phase in released.details["phases"]
            ],
            "devices": len(devices),
            "devices_on_new_version": sum(device["version"] == version for device in devices),
        },
        "seconds": dict(seconds),
    }


def write_report(folder: Path, report: Mapping[str, Any]) -> Path:
    """Write ``<pipeline>.json``, and ``report.json``, which is that of whichever demo ran last; returns the first."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report['pipeline']}.json"
    for each in (path, folder / "report.json"):
        each.write_text(json.dumps(report, indent=2) + "\n")
    return path


def newest(statements: Sequence[Statement], what: str) -> Statement:
    """The statement of the highest version, the latest of them (statements come oldest first).

    Raises:
        SlipwayError: there is none.
    """
    if not statements:
        raise SlipwayError(f"expected the ledger to hold a {what}, but it holds none; run `make demo` again")
    return max(reversed(statements), key=lambda statement: int(statement.subject))


def seconds_of(tasks: Mapping[str, Sequence[TaskRun]], stack: float, total: float) -> dict[str, float]:
    """Wall seconds from a stage's first task start to its last task end, over all its runs."""
    stages = {
        "ingest": tasks.get("ingest", ()),
        **{
            name: [task for task in tasks.get("train", ()) if task.task_id == name]
            for name in ("train", "export", "compile", "register")
        },
        "release": tasks.get("release", ()),
    }
    spans = {name: round(_span(runs), 1) for name, runs in stages.items()}
    return {"stack": round(stack, 1), **spans, "total": round(total, 1)}


def _span(tasks: Sequence[TaskRun]) -> float:
    starts = [task.start for task in tasks if task.start]
    ends = [task.end for task in tasks if task.end]
    if not starts or not ends:
        return 0.0
    return max((max(ends) - min(starts)) / dt.timedelta(seconds=1), 0.0)


def show(report: Mapping[str, Any], console: Console) -> None:
    """The report as a person reads it."""
    model, release = report["model"], report["release"]
    metric = model["metric"]
    console.print(
        f"\n[bold]{model['name']} version {model['version']}[/]: {metric} {model['metrics'][metric]:.3f}, "
        f"baseline {model['baseline'][metric]:.3f}; learned from {len(model['learned_from'])} partitions, judged on "
        f"{len(model['held_out'])} later ones, of {report['partitions']} ingested at "
        f"features commit {report['features_commit'][:12]}"
    )
    table = Table("target", "status", "agreement", "p50 ms", "reason or sha256")
    for target in report["targets"]:
        agreement = "" if target["agreement"] is None else f"{target['agreement']:.4f}"
        p50 = "" if target["p50_ms"] is None else f"{target['p50_ms']:.3f}"
        why = target["reason"] or (target["sha256"] or "")[:16]
        table.add_row(target["name"], target["status"], agreement, p50, why)
    console.print(table)
    phases = ", ".join(f"{phase['percent']}% {phase['verdict']}" for phase in release["phases"])
    console.print(
        f"release {release['release']}: {phases}; "
        f"[bold]{release['devices_on_new_version']} of {release['devices']} devices[/] run the new version"
    )
    console.print(
        "seconds (stages: of the runs that did them; stack and total: of this one): "
        + ", ".join(f"{name} {value:.0f}" for name, value in report["seconds"].items())
    )
