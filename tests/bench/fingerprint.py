"""``make bench-fingerprint``: what computing a stage's fingerprint costs a process that has just started.

For every stage of ``flight_delay`` that has code of its own: the closure of its code, the versions of the packages
that imports, canonical JSON and the hash, in a new Python each time, with nothing kept from earlier ones (*cold*: every
file is parsed) and with what they kept (*warm*). Starting Python, importing Slipway and reading the pipeline come
before. Files lie in the system's cache in both. Writes ``var/bench/fingerprint.json``; fails if a warm median is over
the limit.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from slipway.identity.code import Closure, closure
from slipway.identity.environment import LOCK, lock_digest
from slipway.identity.fingerprint import Ingredients, cpu_hardware_class
from slipway.pipeline.load import find_pipeline
from slipway.pipeline.spec import Pipeline
from slipway.settings import settings

PIPELINE = "flight_delay"
LIMIT_MS = 50.0
DAYS = 365
"""Days a training reads: each is an input."""
ROOT = settings().root


def features(pipeline: Pipeline, cache: Path) -> Ingredients:
    """A day of features: the Spark job's code."""
    job = ROOT / "spark_jobs" / f"{pipeline.features.job}.py"
    made_by = closure([job], [ROOT / "include", ROOT / "spark_jobs"], lock=ROOT / LOCK, cache=cache)
    contracts = {name: contract.model_dump(mode="json") for name, contract in pipeline.raw.items()}
    parameters = {"contract": pipeline.features.contract.model_dump(mode="json"), "raw": contracts}
    return _ingredients("features", pipeline, made_by, parameters, days=1)


def train(pipeline: Pipeline, cache: Path) -> Ingredients:
    """A year's training: the code of its pods and the user's model."""
    include = ROOT / "include"
    slipway = include / "slipway"
    entries = [
        slipway / "training" / "__main__.py",
        slipway / "compile" / "__main__.py",
        slipway / "compile" / "export.py",
        include / "models" / f"{pipeline.training.model}.py",
        *sorted((slipway / "compile" / "targets").glob("*.py")),
    ]
    made_by = closure(entries, [include], lock=ROOT / LOCK, cache=cache)
    parameters = {
        "training": pipeline.training.model_dump(mode="json"),
        "compile": pipeline.compile.model_dump(mode="json"),
    }
    return _ingredients("train", pipeline, made_by, parameters, days=DAYS)


STAGES: dict[str, Callable[[Pipeline, Path], Ingredients]] = {"features": features, "train": train}


def _ingredients(
    stage: str, pipeline: Pipeline, made_by: Closure, parameters: dict[str, Any], *, days: int
) -> Ingredients:
    return Ingredients(
        stage=stage,
        pipeline=pipeline.name,
        code=made_by.code,
        packages=made_by.packages,
        parameters=parameters,
        inputs={f"features/date={day:03}/part-00000.parquet": f"{day:064x}" for day in range(days)},
        environment=lock_digest(ROOT),
        hardware=cpu_hardware_class(),
    )


def measure_here(stage: str, cache: Path) -> dict[str, Any]:
    """One fingerprint in this process."""
    pipeline = find_pipeline(settings().pipelines, PIPELINE)
    begin = time.perf_counter()
    ingredients = STAGES[stage](pipeline, cache)
    fingerprint = ingredients.fingerprint()
    milliseconds = (time.perf_counter() - begin) * 1000
    return {
        "ms": milliseconds,
        "fingerprint": fingerprint,
        "modules": len(ingredients.code),
        "packages": len(ingredients.packages),
    }


def measure(stage: str, cache: Path) -> dict[str, Any]:
    """The same in a Python of its own."""
    command = [sys.executable, "-m", "tests.bench.fingerprint", "--one", stage, "--cache", str(cache)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"computing a fingerprint failed:\n{done.stderr[-4000:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def compare(stage: str, times: int) -> dict[str, Any]:
    """Medians of both ways; every answer has to be the same."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "imports"
        cold = []
        for _ in range(times):
            shutil.rmtree(cache, ignore_errors=True)
            cold.append(measure(stage, cache))
        warm = [measure(stage, cache) for _ in range(times)]
    if len({answer["fingerprint"] for answer in (*cold, *warm)}) != 1:
        raise SystemExit(f"expected one fingerprint of {stage}, got several")
    return {
        "cold_ms": round(statistics.median(answer["ms"] for answer in cold), 1),
        "warm_ms": round(statistics.median(answer["ms"] for answer in warm), 1),
        "warm_worst_ms": round(max(answer["ms"] for answer in warm), 1),
        "modules": warm[0]["modules"],
        "packages": warm[0]["packages"],
    }


def main() -> None:
    """Measure every stage and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=9, help="processes per stage and way")
    parser.add_argument("--one", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure_here(arguments.one, arguments.cache)))
        return
    stages = {stage: compare(stage, arguments.times) for stage in STAGES}
    report = {"pipeline": PIPELINE, "times": arguments.times, "limit_ms": LIMIT_MS, "stages": stages}
    file = settings().var / "bench" / "fingerprint.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    Console().print_json(data=report)
    slow = [stage for stage, found in stages.items() if found["warm_ms"] > LIMIT_MS]
    if slow:
        raise SystemExit(f"expected at most {LIMIT_MS} ms for a fingerprint, not so: {', '.join(slow)}")


if __name__ == "__main__":
    main()
