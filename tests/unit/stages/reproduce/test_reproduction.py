"""A version made again: what is compared, which stage is named, and that nothing published changes."""

import json
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save

from slipway.errors import NotReproducibleError, UnavailableError, UnrecordedError
from slipway.identity.digest import sha256_bytes
from slipway.settings import settings
from slipway.stages.reproduce.checkout import Checkouts
from slipway.stages.reproduce.past import past_of
from slipway.stages.reproduce.reproduction import STAGE, judge_again, written
from slipway.stages.reproduce.verdict import STAGES, Scope
from tests.unit.stages.reproduce.reproduced import DAYS, PIPELINE, RUN, VERSION, SpoiltLake, Works, flipped, made

WHOLE = Scope()


@pytest.fixture
def past(lake, ledger):
    return made(lake, ledger)


@pytest.fixture
def works(lake):
    return Works(lake)


@pytest.fixture
def again(lake, ledger, past, works, tmp_path):
    """Makes it again; what is kept comes from ``lake``."""

    def run(kept=lake, scope=WHOLE, past=past):
        checkouts = Checkouts(settings().root, tmp_path / "checkouts")
        works.lake = kept
        return judge_again(
            kept, ledger, past, works, checkouts, scope=scope, run=RUN, root=settings().root, say=lambda line: None
        )

    return run


def test_the_same_code_and_data_give_the_same_bytes(again, works):
    verdict = again()
    assert (verdict.outcome, verdict.stage) == ("identical", None)
    assert [verdict.brief()["stages"][stage] for stage in STAGES] == ["identical"] * 5
    assert works.asked == [*DAYS, "train", "export", "jetson-orin", "x86-cpu", "x86-cpu-int8"]


def test_the_verdict_is_signed_and_names_the_version_it_is_about(again, ledger, past):
    verdict = again()
    (stated,) = ledger.statements(PIPELINE.name, STAGE, VERSION)
    assert list(stated.outputs.values()) == [sha256_bytes(written(verdict))]
    assert stated.details["outcome"] == "identical" and stated.details["whole"] is True
    assert stated.ingredients.inputs == {"version": past.registered.fingerprint}
    makers = [one.statement.stage for one in ledger.chain(stated.fingerprint)]
    assert makers[:2] == [STAGE, "register"]


def test_a_second_verdict_disputes_nothing(again, ledger, works):
    again()
    works.changes = {"model.onnx": flipped}
    assert again().outcome == "diverged"
    assert [one.details["outcome"] for one in ledger.statements(PIPELINE.name, STAGE, VERSION)] == [
        "identical",
        "diverged",
    ]


def test_nothing_published_changes_and_the_branch_goes(again, lake, ledger, past):
    before = (lake.branches(PIPELINE.repository), lake.resolve(PIPELINE.repository, "main"))
    again()
    assert (lake.branches(PIPELINE.repository), lake.resolve(PIPELINE.repository, "main")) == before


def test_the_branch_goes_when_a_service_is_away(again, lake, works, monkeypatch):
    def away(*arguments, **named):
        raise UnavailableError("expected Spark Connect to answer")

    monkeypatch.setattr(works, "features", away)
    before = lake.branches(PIPELINE.repository)
    with pytest.raises(UnavailableError):
        again()
    assert lake.branches(PIPELINE.repository) == before


@pytest.mark.parametrize(
    ("path", "stage", "subject"),
    [
        ("raw/flights/date=2013-01-03/part-00000.parquet", "ingest", "2013-01-03"),
        ("features/date=2013-01-04/part-00000.parquet", "features", "2013-01-04"),
        ("model.safetensors", "train", "2013-01-01..2013-01-05"),
        ("model.onnx", "export", "2013-01-01..2013-01-05"),
        ("x86-cpu-int8/{}/model.bin", "compile", "x86-cpu-int8"),
    ],
)
def test_one_changed_byte_of_what_is_kept_names_the_stage_that_made_it(again, lake, past, path, stage, subject):
    spoilt = SpoiltLake(lake, path.format(past.works["x86-cpu-int8"].fingerprint), flipped)
    verdict = again(spoilt)
    assert (verdict.outcome, verdict.stage, verdict.subject) == ("diverged", stage, subject)
    assert "is kept as" in verdict.reason
    after = [one for one in verdict.judged if STAGES.index(one.stage) > STAGES.index(stage)]
    assert all(one.outcome in ("identical", "inconclusive") for one in after)


def test_a_kept_output_that_was_changed_is_made_again_as_it_was_stated(again, lake):
    verdict = again(SpoiltLake(lake, "features/date=2013-01-04/part-00000.parquet", flipped))
    assert "made again it is as stated" in verdict.reason


def test_an_output_that_is_gone_names_the_stage_that_made_it(again, past):
    commits = past.works["export"].commits | {"model": f"{PIPELINE.repository}@{'0' * 64}"}
    lost = replace(past, works=past.works | {"export": replace(past.works["export"], commits=commits)})
    verdict = again(past=lost)
    assert (verdict.outcome, verdict.stage) == ("diverged", "export")
    assert "is not kept any more" in verdict.reason


def heavier(content):
    """A weight is a little larger."""
    tensors = load(content)
    return save({**tensors, "weight": tensors["weight"] + np.float32(0.5)})


@pytest.mark.parametrize(
    ("file", "change", "stage", "fact"),
    [
        ("features", flipped, "features", "byte"),
        ("model.safetensors", heavier, "train", "tensor weight: 30 of 30 values differ, by at most 0.5"),
        ("model.onnx", flipped, "export", "first differing byte"),
        ("model.bin", flipped, "compile", "first differing byte"),
    ],
)
def test_a_stage_that_makes_something_else_is_named_with_what_differs(again, works, file, change, stage, fact):
    works.changes = {file: change}
    verdict = again()
    assert (verdict.outcome, verdict.stage) == ("diverged", stage)
    facts = [fact for one in verdict.of(stage) for compared in one.differing for fact in compared.facts]
    assert any(fact in one for one in facts), facts
    others = [one for one in verdict.judged if one.stage != stage]
    assert {one.outcome for one in others} == {"identical"}


def test_measured_times_may_differ(again, works):
    works.milliseconds = 0.7
    verdict = again()
    assert verdict.outcome == "identical"
    assert verdict.of("compile")[0].numbers["p50_ms now"] == 0.7


def test_another_environment_explains_a_difference_that_decides_nothing(again, works):
    works.changes = {"model.safetensors": heavier}
    works.environment = {"python": "3.12.1"}
    verdict = again()
    assert (verdict.outcome, verdict.stage) == ("within tolerance", None)
    assert "python 3.11.9 → 3.12.1" in verdict.reason and "agreement 1" in verdict.reason


def better(content):
    evaluation = json.loads(content)
    evaluation["metrics"]["auc"] += 0.01
    return json.dumps(evaluation).encode()


def test_another_environment_explains_no_other_model(again, works):
    works.changes = {"evaluation.json": better}
    works.environment = {"python": "3.12.1"}
    verdict = again()
    assert (verdict.outcome, verdict.stage) == ("diverged", "train")
    assert verdict.of("train")[0].numbers["difference of auc"] == pytest.approx(0.01)


def test_a_stage_that_cannot_be_made_is_inconclusive(again, works):
    works.failing = "x86-cpu"
    verdict = again()
    assert (verdict.outcome, verdict.stage, verdict.subject) == ("inconclusive", "compile", "x86-cpu")
    assert "out of memory" in verdict.reason


def test_a_job_that_fails_leaves_its_days_inconclusive(again, works):
    works.failing = PIPELINE.features.job
    verdict = again()
    assert (verdict.outcome, verdict.stage) == ("inconclusive", "features")


def test_a_sample_makes_the_newest_days_and_is_no_whole_proof(again, works, ledger):
    verdict = again(scope=Scope(partitions=2))
    assert works.asked[:2] == DAYS[-2:] and "train" in works.asked[2]
    assert verdict.outcome == "identical" and not verdict.scope.whole
    assert [one.outcome for one in verdict.of("features")] == ["skipped"] * 3 + ["identical"] * 2


def test_only_the_stages_asked_for_are_made(again, works):
    verdict = again(scope=Scope(stages=("export",)))
    assert works.asked == ["export"]
    assert (verdict.outcome, verdict.scope.whole) == ("identical", False)


def test_an_input_that_is_not_as_stated_leaves_a_stage_without_its_maker_inconclusive(again, lake):
    verdict = again(SpoiltLake(lake, "model.safetensors", flipped), scope=Scope(stages=("export",)))
    assert (verdict.outcome, verdict.stage) == ("inconclusive", "export")
    assert "model.safetensors is not kept as it was stated" in verdict.reason


def test_code_that_is_not_to_be_had_is_named(again, past):
    train = past.works["train"]
    code = train.ingredients.code | {"include/models/flight_delay.py": "0" * 64}
    older = replace(train, ingredients=replace(train.ingredients, code=code))
    verdict = again(past=replace(past, works=past.works | {"train": older}), scope=Scope(stages=("train",)))
    assert (verdict.outcome, verdict.stage) == ("inconclusive", "train")
    assert "include/models/flight_delay.py" in verdict.reason


def test_parameters_that_are_not_to_be_had_are_named(again, past):
    train = past.works["train"]
    parameters = {**train.ingredients.parameters, "parameters": {"epochs": 99}}
    older = replace(train, ingredients=replace(train.ingredients, parameters=parameters))
    verdict = again(past=replace(past, works=past.works | {"train": older}), scope=Scope(stages=("train",)))
    assert verdict.outcome == "inconclusive"
    assert "parameter parameters.epochs 99 → 12" in verdict.reason


def test_a_version_the_ledger_does_not_know_is_an_error(ledger):
    with pytest.raises(UnrecordedError, match="version 9 of flight_delay"):
        past_of(ledger, "flight_delay", "9")


def git(folder, *arguments):
    identity = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A project whose model was edited since its first commit; that commit."""
    root = tmp_path / "project"
    (root / "include").mkdir(parents=True)
    git(root, "init", "-q")
    (root / "include" / "model.py").write_text("old = 1\n")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    commit = git(root, "rev-parse", "HEAD")
    (root / "include" / "model.py").write_text("new = 2\n")
    return root, commit


def stated(past, text, commit, dirty=False):
    train = past.works["train"]
    code = {"include/model.py": sha256_bytes(text.encode())}
    execution = replace(train.execution, git_commit=commit, git_dirty=dirty)
    return replace(train, ingredients=replace(train.ingredients, code=code), execution=execution)


def test_code_comes_out_of_git_as_it_was_and_git_is_left_alone(repository, past, tmp_path):
    root, commit = repository
    before = git(root, "status", "--porcelain"), git(root, "worktree", "list")
    found = Checkouts(root, tmp_path / "out").of(stated(past, "old = 1\n", commit), lambda root: [])
    assert (found / "include" / "model.py").read_text() == "old = 1\n"
    assert (git(root, "status", "--porcelain"), git(root, "worktree", "list")) == before


@pytest.mark.parametrize("commit", [None, "0" * 40, "that of the first version"])
def test_edited_code_is_this_checkouts_when_it_is_the_same(repository, past, tmp_path, commit):
    root, first = repository
    named = first if commit and " " in commit else commit
    statement = stated(past, "new = 2\n", named, dirty=True)
    assert Checkouts(root, tmp_path / "out").of(statement, lambda root: []) == root


def test_edited_code_that_is_nowhere_is_named(repository, past, tmp_path):
    root, commit = repository
    with pytest.raises(NotReproducibleError, match=r"files were edited, differs in: include/model\.py"):
        Checkouts(root, tmp_path / "out").of(stated(past, "lost = 3\n", commit, dirty=True), lambda root: [])
