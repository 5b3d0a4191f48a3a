"""The pipelines of a project, as far as they can work there.

Pods and the gateway read a pipeline without the project around it, and their images hold neither its Spark jobs nor its
feeds' packages: so these checks stand apart from ``load``, and only Airflow and the command line make them.
"""

from __future__ import annotations

import datetime as dt
import difflib
import pkgutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from croniter import CroniterError, croniter

from slipway.errors import ConfigurationError
from slipway.pipeline.load import load_pipeline, told
from slipway.pipeline.spec import Pipeline

_OF_AIRFLOW = {"@quarterly": "0 0 1 */3 *"}
"""Airflow's presets that croniter does not know."""


def working_pipeline(path: Path, root: Path) -> Pipeline:
    """Read one pipeline file, and see that the project has all it names.

    Args:
        path: the pipeline file.
        root: the project, which holds ``spark_jobs/`` and ``include/``.

    Raises:
        ConfigurationError: as ``load_pipeline``; or the schedule is not a cron expression, or a file or package that
            the pipeline names is not there. Every problem is listed.
    """
    pipeline = load_pipeline(path)
    if problems := [*_schedule(pipeline.schedule), *_files(pipeline, root), *_feeds(pipeline)]:
        raise ConfigurationError(told(path, problems))
    return pipeline


def load_pipelines(folder: Path) -> dict[str, Pipeline]:
    """Every pipeline of a project's ``include/pipelines`` by name, in the order of their names.

    Raises:
        ConfigurationError: as ``working_pipeline``; of all files that are wrong.
    """
    found, wrong = {}, []
    for path in sorted(folder.glob("*.yaml")):
        try:
            found[path.stem] = working_pipeline(path, folder.parents[1])
        except ConfigurationError as error:
            wrong.append(str(error))
    if wrong:
        raise ConfigurationError("\n".join(wrong))
    return found


def readable_pipelines(folder: Path) -> dict[str, Pipeline]:
    """As ``load_pipelines``, without those whose file is wrong: one mistake must not stop the other pipelines."""
    found = {}
    for path in sorted(folder.glob("*.yaml")):
        with suppress(ConfigurationError):
            found[path.stem] = working_pipeline(path, folder.parents[1])
    return found


def _schedule(expression: str) -> Iterator[str]:
    expected = "schedule: expected a cron expression of five fields, such as '0 0 * * *', or a preset such as @daily"
    try:
        cron = croniter(_OF_AIRFLOW.get(expression, expression), dt.datetime(2000, 1, 1))
        if len(cron.expanded) != 5:
            yield f"{expected}; got {len(cron.expanded)} fields: {expression!r}"
        cron.get_next()
    except CroniterError as error:
        yield f"{expected}; got {expression!r} ({error})"


def _files(pipeline: Pipeline, root: Path) -> Iterator[str]:
    pods = {"training.pod": pipeline.training.pod, "compile.pod": pipeline.compile.pod}
    pods |= {f"compile.targets.{n}.pod": target.pod for n, target in enumerate(pipeline.compile.targets) if target.pod}
    named = [
        ("features.job", "spark_jobs", pipeline.features.job, ".py"),
        ("training.model", "include/models", pipeline.training.model, ".py"),
        *((key, "include/pods", pod, ".yaml") for key, pod in pods.items()),
    ]
    for key, folder, name, suffix in named:
        if not (root / folder / f"{name}{suffix}").is_file():
            there = sorted(path.stem for path in (root / folder).glob(f"*{suffix}"))
            yield f"{key}: expected a file {folder}/{name}{suffix}, but there is none; {_near(name, there)}"


def _feeds(pipeline: Pipeline) -> Iterator[str]:
    from slipway.feed.package_csv import locate  # brings Arrow

    for table, source in pipeline.feed.tables.items():
        try:
            locate(source.package, source.file)
        except ConfigurationError as error:
            near = difflib.get_close_matches(source.package, {module.name for module in pkgutil.iter_modules()})
            hint = f"; did you mean {near[0]!r}?" if near and near[0] != source.package else ""
            yield f"feed.tables.{table}: {str(error).removeprefix('feed: ')}{hint}"


def _near(name: str, there: Iterable[str]) -> str:
    known = [*there]
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known) or 'none'}"
