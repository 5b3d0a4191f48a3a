"""A version whose every stage is a small pure function, and what makes those stages again."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save

from slipway.errors import PodFailedError
from slipway.feed.parquet import to_parquet
from slipway.identity.digest import sha256_bytes
from slipway.lake.uri import LakeUri
from slipway.ledger.statement import Statement
from slipway.ledger.store import Ledger
from slipway.pipeline.load import find_pipeline
from slipway.pods.entries import own_code
from slipway.pods.result import PodResult, Reading, upload, write_result
from slipway.quality.parquet import read_parquet
from slipway.settings import settings
from slipway.stages.landing import features_prefix, ingredients_of, raw_ingredients_of, raw_path
from slipway.stages.pod_work import conclude_work
from slipway.stages.reproduce.past import Past, past_of
from slipway.stages.run import Run
from slipway.stages.train import TrainingPlan, plan_training
from tests.simulators.lake import LakeSimulator
from tests.simulators.ledger import ingredients

PIPELINE = find_pipeline(settings().pipelines, "flight_delay")
RUN = Run("flight_delay.train", "run-7", "manual", "http://127.0.0.1/runs/7")
DAYS = [f"2013-01-{number:02d}" for number in range(1, 6)]
VERSION = "1"
Change = Callable[[bytes], bytes]


def raw_rows(day: str) -> bytes:
    return to_parquet(pa.table({"dep_delay": np.arange(6, dtype=np.float64) + int(day[-2:])}))


def transform(raw: bytes) -> bytes:
    """The features of some raw rows."""
    delays = read_parquet(raw, "raw").column("dep_delay").to_numpy()
    sink = io.BytesIO()
    pq.write_table(pa.table({"dep_delay": delays, "late": delays > 5}), sink)
    return sink.getvalue()


def fitted(features: Sequence[bytes]) -> dict[str, bytes]:
    """What a training of some features gives."""
    rows = np.concatenate([read_parquet(one, "features").column("dep_delay").to_numpy() for one in features])
    logits = np.stack([-rows, rows], axis=1).astype(np.float32)
    holdout = io.BytesIO()
    np.savez(holdout, **{"input:numeric": rows, "labels": (rows > 5).astype(np.int64), "logits": logits})
    evaluation = {"metric": "auc", "metrics": {"auc": float(rows.mean()) / 100}}
    return {
        "model.safetensors": save({"weight": rows.astype(np.float32)}),
        "holdout.npz": holdout.getvalue(),
        "evaluation.json": json.dumps(evaluation).encode(),
    }


@dataclass
class Works:
    """Makes stages again in memory; ``changes`` is file name -> what becomes of its bytes."""

    lake: LakeSimulator
    changes: dict[str, Change] = field(default_factory=dict)
    environment: dict[str, object] = field(default_factory=lambda: {"python": "3.11.9"})
    failing: str = ""
    milliseconds: float = 0.1
    asked: list[str] = field(default_factory=list)

    def features(self, root: Path, job: str, days: Mapping[str, tuple[LakeUri, LakeUri]]) -> None:
        if self.failing == job:
            raise PodFailedError("the pod ended with exit code 1; its last words: out of memory")
        for day, (source, output) in days.items():
            self.asked.append(day)
            raw = self.lake.get(LakeUri(source.repository, source.ref, raw_path("flights", day)))
            self.lake.put(output / "part-00000.parquet", self._changed("features", transform(raw)))

    def work(
        self,
        root: Path,
        pod: str,
        command: Sequence[str] | None,
        arguments: Sequence[str],
        champion: tuple[str, str] | None = None,
    ) -> None:
        options = dict(zip(arguments[0::2], arguments[1::2], strict=True))
        output, reading = LakeUri.parse(options["--output"]), Reading(self.lake)
        name = options.get("--target") or ("export" if "--input" in options else "train")
        self.asked.append(name)
        if self.failing == name:
            raise PodFailedError("the pod ended with exit code 1; its last words: out of memory")
        if name == "train":
            days = sorted(f"{options['--partitions']},{options['--holdout']}".split(","))
            place = LakeUri(output.repository, options["--commit"], "features")
            files = fitted([reading.get(place / f"date={day}/part-00000.parquet") for day in days])
        elif name == "export":
            files = {"model.onnx": b"onnx of " + reading.get(LakeUri.parse(options["--input"]) / "model.safetensors")}
        else:
            model = reading.get(LakeUri.parse(options["--export"]) / "model.onnx")
            report = {"agreement": 1.0, "golden_agreement": 1.0, "p50_ms": self.milliseconds}
            files = {"model.bin": name.encode() + model, "report.json": json.dumps(report).encode()}
        made = {path: self._changed(path, content) for path, content in files.items()}
        result = PodResult(
            stage=name,
            fingerprint=options["--fingerprint"],
            status="built",
            code=own_code(PIPELINE, name),
            inputs=reading.read,
            outputs=upload(self.lake, output, made),
            varying=[path for path in made if path == "report.json"],
            environment=self.environment,
            hardware="x86_64-cpu",
        )
        write_result(self.lake, output, result)

    def _changed(self, name: str, content: bytes) -> bytes:
        return self.changes.get(name, lambda same: same)(content)


def made(lake: LakeSimulator, ledger: Ledger) -> Past:
    """Make version 1 of five days, and state how."""
    root = settings().root
    lake.ensure_repository(PIPELINE.repository)
    for day in DAYS:
        _publish(lake, ledger, day)
    plan = plan_training(lake, PIPELINE, root=root, runtime="process", champion=None, least=5)
    lake.create_branch(PIPELINE.repository, plan.branch, plan.commit)
    works, outputs = Works(lake), {}
    for name, work in plan.works.items():
        works.work(root, "", None, work.arguments)
        outputs |= _conclude(lake, ledger, plan, name)
    registered = Statement(
        ingredients=ingredients("register", PIPELINE.name, parameters={"version_of": plan.fingerprint}),
        subject=VERSION,
        outputs={"versions/1/model.onnx": sha256_bytes(b"model")},
        materials=outputs,
        execution=RUN.execution(root, _now()),
    )
    ledger.record(registered)
    return past_of(ledger, PIPELINE.name, VERSION)


def _publish(lake: LakeSimulator, ledger: Ledger, day: str) -> None:
    root, repository, branch = settings().root, PIPELINE.repository, f"day-{day}"
    raw, output = {raw_path("flights", day): raw_rows(day)}, f"{features_prefix(day)}/part-00000.parquet"
    lake.create_branch(repository, branch, "main")
    for path, content in raw.items():
        lake.put(LakeUri(repository, branch, path), content)
    landed = lake.commit(repository, branch, "raw", {})
    features = transform(raw[raw_path("flights", day)])
    lake.put(LakeUri(repository, branch, output), features)
    lake.commit(repository, branch, "features", {})
    merged = lake.merge(repository, branch, "main", "day", {})
    lake.delete_branch(repository, branch)
    digests = {path: sha256_bytes(content) for path, content in raw.items()}
    came = raw_ingredients_of(PIPELINE, day, {"flights": sha256_bytes(b"rows")}, root)
    commits = {"raw": f"{repository}@{landed}", "main": f"{repository}@{merged}"}
    run = RUN.execution(root, _now())
    ledger.record(
        Statement(came, day, digests, came.inputs, run, commits={"raw": commits["raw"]}),
        Statement(
            ingredients_of(PIPELINE, day, digests, root), day, {output: sha256_bytes(features)}, digests, run,
            commits=commits,
        ),
    )  # fmt: skip


def _conclude(lake: LakeSimulator, ledger: Ledger, plan: TrainingPlan, name: str) -> dict[str, str]:
    result = conclude_work(lake, ledger, plan, name, RUN, root=settings().root, started=_now())
    return {f"{plan.output(name).path}/{path}": output.sha256 for path, output in result.outputs.items()}


def _now():
    import datetime as dt

    return dt.datetime.now(dt.UTC)


class SpoiltLake:
    """A lake that gives other bytes for one path than it was given: the storage below it rotted."""

    def __init__(self, lake: LakeSimulator, ending: str, change: Change) -> None:
        self._lake, self._ending, self._change = lake, ending, change

    def __getattr__(self, name: str) -> object:
        return getattr(self._lake, name)

    def get(self, uri: LakeUri) -> bytes:
        content = self._lake.get(uri)
        return self._change(content) if uri.path.endswith(self._ending) and not _again(uri) else content


def _again(uri: LakeUri) -> bool:
    return uri.ref.startswith("reproduce-")


def flipped(content: bytes) -> bytes:
    """One byte in the middle is another."""
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
