"""A pod's work before and after the pod: whether it has to run, and the statement of what it made."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import replace
from pathlib import Path

from slipway.errors import LakeNotFoundError, PodResultError
from slipway.identity.code import combined
from slipway.identity.fingerprint import Ingredients
from slipway.lake.client import Lake
from slipway.lake.uri import LakeUri
from slipway.ledger.statement import Execution, Statement
from slipway.ledger.store import Ledger
from slipway.pods.result import RESULT, PodResult, read_result
from slipway.stages.reuse import Reuse, decide
from slipway.stages.run import Run
from slipway.stages.train import TrainingPlan

_LOG = logging.getLogger(__name__)
MODEL = "model"
"""The role of the commit that holds a work's outputs."""


def reuse_work(
    lake: Lake,
    ledger: Ledger,
    plan: TrainingPlan,
    work: str,
    *,
    run_id: str,
    force: bool = False,
    recheck: float = 0.0,
) -> Reuse:
    """Decide whether a pod has to run; on a hit its outputs lie on the run branch afterwards.

    A result that lies on the branch is taken for the pod's where it was made for the run ``run_id``, and removed
    otherwise: runs of an unchanged training share a branch.

    Raises:
        UnavailableError: the lake or the ledger does not answer.
    """
    output, ingredients = plan.output(work), plan.ingredients(work)
    reuse = decide(
        ledger,
        ingredients,
        plan.subject(work),
        lambda statement: _missing(lake, statement),
        force=force,
        recheck=recheck,
        run_id=run_id,
        across=True,
    )
    if reuse.statement is not None:
        _bring(lake, reuse.statement, output)
    elif _built(lake, output, reuse.fingerprint, run_id):
        reason = f"an earlier try left its result at {output / RESULT}"
        reuse = replace(reuse, outcome="adopted", reasons=(reason,))
        _LOG.info("%s", reuse)
    elif lake.exists(output / RESULT):
        # A pod that ends without a result must not seem to have made this one.
        lake.delete(output / RESULT)
    return reuse


def conclude_work(
    lake: Lake, ledger: Ledger, plan: TrainingPlan, work: str, run: Run, *, root: Path, started: dt.datetime
) -> PodResult:
    """Verify what a pod reports, commit it on the run branch and record its statement; may be repeated.

    A pod that skipped its work made nothing, and nothing is stated about it.

    Raises:
        PodResultError: the result is missing, does not verify, or was made by other code than the plan's.
        DisputedError: the same fingerprint gave other outputs before.
    """
    output, planned = plan.output(work), plan.works[work]
    result = read_result(lake, output, planned.fingerprint)
    _require_planned_code(result, plan.ingredients(work), output)
    commit = lake.commit(
        output.repository,
        output.ref,
        f"{plan.pipeline}: {work} {planned.fingerprint[:12]}",
        run.metadata(
            pipeline=plan.pipeline,
            stage=plan.ingredients(work).stage,
            fingerprint=planned.fingerprint,
            code=plan.code,
            inputs={"main": plan.commit},
            rows={},
        ),
    )
    if result.status == "built":
        execution = run.execution(root, started, machine=_machine(result))
        ledger.record(_statement(plan, work, result, commit, execution))
    return result


def _require_planned_code(result: PodResult, planned: Ingredients, output: LakeUri) -> None:
    expected = combined(planned.code)
    if result.code != expected:
        raise PodResultError(
            f"expected {output / RESULT} to be made by the plan's code {expected[:12]}, the pod ran "
            f"{result.code[:12] or 'code it does not name'}: rebuild the pod's image from this checkout, then clear "
            "the run from `plan`"
        )


def _statement(plan: TrainingPlan, work: str, result: PodResult, commit: str, execution: Execution) -> Statement:
    output = plan.output(work)
    return Statement(
        ingredients=plan.ingredients(work),
        subject=plan.subject(work),
        outputs={f"{output.path}/{name}": made.sha256 for name, made in result.outputs.items()},
        varying=tuple(f"{output.path}/{name}" for name in result.varying),
        materials=result.inputs,
        execution=execution,
        commits={
            "data": f"{output.repository}@{plan.commit}",
            MODEL: f"{output.repository}@{commit}",
        },
        details={"report": result.report, "environment": result.environment},
    )


def _machine(result: PodResult) -> dict[str, str]:
    """What the pod says it ran on: its machine, and the device of it that did the work."""
    return {**result.environment.get("machine", {}), "hardware": result.hardware}


def _missing(lake: Lake, statement: Statement) -> str | None:
    """The first output that its commit does not hold any more; what a commit holds never changes."""
    folder = _folder(statement)
    try:
        there = {item.path for item in lake.list(folder)}
    except LakeNotFoundError:
        return str(folder)
    return next((name for name in (*statement.outputs, f"{folder.path}/{RESULT}") if name not in there), None)


def _bring(lake: Lake, statement: Statement, output: LakeUri) -> None:
    """Put the outputs of an earlier making on this run's branch."""
    folder = _folder(statement)
    there = {item.path: item.checksum for item in lake.list(output)}
    # The result last: it is what says that all is there.
    for item in sorted(lake.list(folder), key=lambda item: item.path.endswith(f"/{RESULT}")):
        source = LakeUri(folder.repository, folder.ref, item.path)
        destination = LakeUri(output.repository, output.ref, item.path)
        if there.get(item.path) != item.checksum:
            lake.copy(source, destination)


def _folder(statement: Statement) -> LakeUri:
    repository, _, commit = statement.commits[MODEL].partition("@")
    return LakeUri(repository, commit, next(iter(statement.outputs)).rsplit("/", 1)[0])


def _built(lake: Lake, output: LakeUri, fingerprint: str, run_id: str) -> bool:
    """Whether a whole result of that run is there; a skipped one does not count, since its reason may be gone."""
    if not lake.exists(output / RESULT):
        return False
    try:
        result = read_result(lake, output, fingerprint)
    except PodResultError as error:
        _LOG.warning("the result on the branch is made again: %s", error)
        return False
    return result.status == "built" and result.run == run_id
