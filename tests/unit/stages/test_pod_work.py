"""What a pod's work finds on its run branch, and what becomes of it."""

import datetime as dt
from dataclasses import replace

import pytest

from slipway.errors import DisputedError, PodResultError
from slipway.identity.code import combined
from slipway.pods.result import RESULT, PodResult, read_result, upload, write_result
from slipway.settings import settings
from slipway.stages.pod_work import conclude_work, reuse_work
from tests.simulators.lake import LakeSimulator
from tests.simulators.ledger import ledger_at
from tests.unit.stages.trained import RUN, planned

WORK = "train"
NEXT = replace(RUN, run_id="run-8")


@pytest.fixture
def lake():
    return LakeSimulator()


@pytest.fixture
def ledger(tmp_path):
    return ledger_at(tmp_path)


@pytest.fixture
def plan(lake):
    return planned(lake)


@pytest.fixture
def pod(lake, plan):
    def run(run, weights=b"weights", code=None):
        outputs = upload(lake, plan.output(WORK), {"model.safetensors": weights})
        code = combined(plan.ingredients(WORK).code) if code is None else code
        known = {"stage": WORK, "fingerprint": plan.works[WORK].fingerprint, "status": "built", "hardware": "cpu"}
        write_result(lake, plan.output(WORK), PodResult(outputs=outputs, run=run.run_id, code=code, **known))

    return run


@pytest.fixture
def task(lake, ledger, plan, pod):
    """Decides, runs the pod where that is decided, and concludes, as ``PodTask`` does; the outcome."""

    def work(run, weights=b"weights", **decision):
        reuse = reuse_work(lake, ledger, plan, WORK, run_id=run.run_id, **decision)
        if not reuse.hit:
            pod(run, weights)
        conclude_work(lake, ledger, plan, WORK, run, root=settings().root, started=dt.datetime.now(dt.UTC))
        return reuse.outcome

    return work


@pytest.mark.parametrize(
    ("decision", "outcome"), [({"recheck": 1.0}, "recheck"), ({"force": True}, "force")], ids=["recheck", "force"]
)
def test_what_is_made_again_is_not_an_earlier_runs_result_on_the_branch(task, lake, ledger, plan, decision, outcome):
    assert task(RUN) == "miss"
    assert task(NEXT, **decision) == outcome
    assert read_result(lake, plan.output(WORK), plan.works[WORK].fingerprint).run == NEXT.run_id
    assert not ledger.find(plan.works[WORK].fingerprint).disputed


@pytest.mark.parametrize("decision", [{"recheck": 1.0}, {"force": True}], ids=["recheck", "force"])
def test_other_outputs_of_the_same_fingerprint_fail_the_task(task, ledger, plan, decision):
    task(RUN)
    with pytest.raises(DisputedError):
        task(NEXT, b"other weights", **decision)
    assert ledger.find(plan.works[WORK].fingerprint).disputed


@pytest.mark.parametrize("decision", [{}, {"recheck": 1.0}, {"force": True}], ids=["miss", "recheck", "force"])
def test_a_retry_takes_the_result_its_own_earlier_try_left(task, lake, ledger, plan, pod, decision):
    if decision:
        task(RUN)
    assert not reuse_work(lake, ledger, plan, WORK, run_id=NEXT.run_id, **decision).hit
    pod(NEXT)
    assert reuse_work(lake, ledger, plan, WORK, run_id=NEXT.run_id, **decision).outcome == "adopted"


def test_a_forced_retry_whose_first_try_made_nothing_runs_the_pod(task, lake, ledger, plan):
    task(RUN)
    for _ in range(2):
        assert reuse_work(lake, ledger, plan, WORK, run_id=NEXT.run_id, force=True).outcome == "force"
    assert not lake.exists(plan.output(WORK) / RESULT)


def test_a_pod_that_ends_without_a_result_does_not_pass_with_an_earlier_runs(task, lake, ledger, plan):
    task(RUN)
    reuse_work(lake, ledger, plan, WORK, run_id=NEXT.run_id, force=True)
    with pytest.raises(PodResultError, match="there is none"):
        conclude_work(lake, ledger, plan, WORK, NEXT, root=settings().root, started=dt.datetime.now(dt.UTC))


def test_a_leftover_on_the_branch_is_replaced_by_what_the_ledger_knows(task, lake, plan):
    task(RUN)
    lake.put(plan.output(WORK) / "model.safetensors", b"half of some wei")
    assert task(NEXT) == "hit"
    assert lake.get(plan.output(WORK) / "model.safetensors") == b"weights"


@pytest.mark.parametrize("code", ["0" * 64, ""], ids=["other code", "none named"])
def test_what_other_code_than_the_plans_made_is_not_stated(lake, ledger, plan, pod, code):
    pod(RUN, code=code)
    with pytest.raises(PodResultError, match=r"rebuild the pod's image .* clear the run from `plan`"):
        conclude_work(lake, ledger, plan, WORK, RUN, root=settings().root, started=dt.datetime.now(dt.UTC))
    assert ledger.find(plan.works[WORK].fingerprint) is None
