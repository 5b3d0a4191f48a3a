"""Making a version's stages again, each from what is kept of the stages before it, and judging each by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from slipway.errors import SlipwayError, UnavailableError
from slipway.identity.explain import differences
from slipway.identity.fingerprint import Ingredients
from slipway.lake.client import Lake
from slipway.lake.uri import LakeUri
from slipway.ledger.statement import Statement
from slipway.pipeline.load import find_pipeline
from slipway.pipeline.spec import Pipeline
from slipway.pods.result import RESULT, read_result
from slipway.stages.landing import STAGE as FEATURES
from slipway.stages.landing import features_prefix
from slipway.stages.landing import ingredients_of as features_of
from slipway.stages.reproduce.checkout import Checkouts
from slipway.stages.reproduce.environment import of_features, of_pod
from slipway.stages.reproduce.judge import Kept, Made, judge, unmade
from slipway.stages.reproduce.past import Past, Shelf
from slipway.stages.reproduce.verdict import Judged, Scope
from slipway.stages.works import EXPORT, TRAIN, Data, works_of
from slipway.stages.works import ingredients_of as works_in

AGAIN = "reproduced"
"""The folder of the branch under which features are made: nothing else ever is, so what lies there is new."""
_EXPORT_COMMAND = ("python", "-m", "slipway.compile.export")


class Making(Protocol):
    """What makes stages again; ``slipway.stages.reproduce.processes`` does it on this machine."""

    def features(self, root: Path, job: str, days: Mapping[str, tuple[LakeUri, LakeUri]]) -> None: ...

    def work(
        self,
        root: Path,
        pod: str,
        command: Sequence[str] | None,
        arguments: Sequence[str],
        champion: tuple[str, str] | None = ...,
    ) -> None: ...


@dataclass
class Again:
    """One version, made again on a branch."""

    lake: Lake
    past: Past
    shelf: Shelf
    checkouts: Checkouts
    making: Making
    branch: str
    scope: Scope
    say: Callable[[str], None]
    _works: dict[Path, dict[str, Ingredients]] = field(default_factory=dict)
    """What decides the works in a checkout."""

    def ingest(self) -> list[Judged]:
        """Compare the raw objects with what was stated; the feed is not asked again, since it may have gone on."""
        self.say(f"ingest: raw objects of {len(self.past.ingested)} days")
        return [unmade(one, self._kept(one), "identical", "") for one in self.past.ingested.values()]

    def features(self) -> list[Judged]:
        """Run the Spark job for the days that are asked for, from the raw objects it was given then."""
        statements = list(self.past.features.values())
        asked = statements if self.scope.partitions is None else statements[-self.scope.partitions :]
        skipped = [one for one in statements if one not in asked]
        self.say(f"features: {len(asked)} of {len(statements)} days")
        judged = [unmade(one, self._kept(one), "skipped", "not one of the days asked for") for one in skipped]
        ready: dict[Path, list[Statement]] = {}
        for one in asked:
            if reason := self._spoilt(one):
                judged.append(unmade(one, self._kept(one), "inconclusive", reason))
                continue
            try:
                ready.setdefault(self._root_of(one), []).append(one)
            except UnavailableError:
                raise
            except SlipwayError as error:
                judged.append(unmade(one, self._kept(one), "inconclusive", str(error)))
        for root, days in ready.items():
            judged += self._features_of(root, days)
        return judged

    def works(self, names: Iterable[str]) -> list[Judged]:
        """Run the pods of ``train``, ``export`` or targets, each on the outputs that are kept of those before it."""
        return [self._work(name, self.past.works[name]) for name in names]

    def _features_of(self, root: Path, days: Sequence[Statement]) -> list[Judged]:
        pipeline = self._pipeline(root)
        places = {one.subject: (_at(one.commits["raw"]), self._output(one)) for one in days}
        started = time.monotonic()
        failure = ""
        try:
            self.making.features(root, pipeline.features.job, places)
        except UnavailableError:
            raise
        except SlipwayError as error:
            failure = str(error)
        each = (time.monotonic() - started) / len(days)
        judged = []
        for one in days:
            files = self._files(one)
            if failure and not files:
                judged.append(unmade(one, self._kept(one), "inconclusive", failure))
            else:
                judged.append(judge(one, self._kept(one), Made(files, of_features(one), each)))
        return judged

    def _files(self, statement: Statement) -> dict[str, bytes]:
        place = self._output(statement)
        found = {
            item.path: self.lake.get(LakeUri(place.repository, place.ref, item.path)) for item in self.lake.list(place)
        }
        return {path.removeprefix(f"{AGAIN}/"): content for path, content in found.items()}

    def _output(self, statement: Statement) -> LakeUri:
        return LakeUri(self._repository, self.branch, f"{AGAIN}/{features_prefix(statement.subject)}")

    def _work(self, name: str, statement: Statement) -> Judged:
        self.say(f"{statement.stage}: {statement.subject}")
        kept = self._kept(statement)
        if reason := self._spoilt(statement):
            return unmade(statement, kept, "inconclusive", reason)
        started = time.monotonic()
        try:
            root = self._root_of(statement)
            place, reason = self._run(name, root)
            if reason:
                return unmade(statement, kept, "inconclusive", reason)
            result = read_result(self.lake, place, statement.fingerprint)
            if result.status == "skipped":
                return unmade(statement, kept, "inconclusive", f"it cannot be made on this machine: {result.reason}")
            files = {f"{place.path}/{path}": self.lake.get(place / path) for path in result.outputs}
        except UnavailableError:
            raise
        except SlipwayError as error:
            return unmade(statement, kept, "inconclusive", str(error))
        holdout = self._holdout() if name == EXPORT else None
        return judge(statement, kept, Made(files, of_pod(statement, result), time.monotonic() - started, holdout))

    def _run(self, name: str, root: Path) -> tuple[LakeUri, str]:
        """Run a pod with what is kept as its input; its output's place, or why it was not run."""
        pipeline = self._pipeline(root)
        planned = works_of(pipeline, self._data_commit, self.branch, self._made_of, self._data)
        # Other works' outputs are read where they are kept; the branch holds none.
        elsewhere = {one.output: self._kept_folder(other) for other, one in planned.items() if other != name}
        work = planned[name]
        place = LakeUri.parse(work.output)
        if self.lake.exists(place / RESULT):
            return place, f"a result lies at {place} already, so what was made now could not be told from it"
        pod = pipeline.training.pod if name in (TRAIN, EXPORT) else pipeline.compile.pods[name]
        champion = (pipeline.name, self._data.champion) if name == TRAIN and self._data.champion else None
        command = _EXPORT_COMMAND if name == EXPORT else None
        self.making.work(root, pod, command, [elsewhere.get(part, part) for part in work.arguments], champion)
        return place, ""

    def _root_of(self, statement: Statement) -> Path:
        return self.checkouts.of(statement, lambda root: self._changed(statement, root))

    def _changed(self, statement: Statement, root: Path) -> list[str]:
        """Parameters and seeds that a checkout's pipeline file does not give as they were."""
        try:
            pipeline = self._pipeline(root)
        except SlipwayError as error:
            return [str(error)]
        if statement.stage == FEATURES:
            now = features_of(pipeline, statement.subject, statement.materials, root)
        else:
            name = next(name for name, one in self.past.works.items() if one is statement)
            if root not in self._works:
                self._works[root] = works_in(pipeline, root, "process", self._data)
            if name not in self._works[root]:
                return [f"include/pipelines/{pipeline.name}.yaml has no target {name}"]
            now = self._works[root][name]
        return [str(one) for one in differences(statement.ingredients, now) if one.kind in ("parameter", "seed")]

    def _spoilt(self, statement: Statement) -> str:
        """Why a statement's work cannot be judged: what it reads is not kept as it was."""
        changed = self.shelf.changed_materials(statement)
        return f"its input {changed[0]} is not kept as it was stated" if changed else ""

    def _kept(self, statement: Statement) -> Kept:
        return Kept(lambda name: self.shelf.content(statement, name), self.shelf.changed(statement))

    def _holdout(self) -> bytes | None:
        train = self.past.works[TRAIN]
        name = next((name for name in train.outputs if name.endswith("/holdout.npz")), None)
        return self.shelf.content(train, name) if name else None

    def _kept_folder(self, work: str) -> str:
        statement = self.past.works[work]
        place = self.past.place(statement, next(iter(statement.outputs)))
        return f"lakefs://{place.repository}/{place.ref}/{place.path.rsplit('/', 1)[0]}"

    def _pipeline(self, root: Path) -> Pipeline:
        return find_pipeline(root / "include" / "pipelines", self.past.pipeline)

    @cached_property
    def _made_of(self) -> dict[str, Ingredients]:
        return {name: one.ingredients for name, one in self.past.works.items()}

    @cached_property
    def _data(self) -> Data:
        asked = self.past.works[TRAIN].ingredients
        days = (asked.parameters["partitions"], asked.parameters["holdout"])
        return Data(*days, asked.parameters["champion"], asked.inputs)

    @property
    def _repository(self) -> str:
        return self.past.works[TRAIN].commits["data"].partition("@")[0]

    @property
    def _data_commit(self) -> str:
        return self.past.works[TRAIN].commits["data"].partition("@")[2]


def _at(commit: str) -> LakeUri:
    repository, _, name = commit.partition("@")
    return LakeUri(repository, name, "")
