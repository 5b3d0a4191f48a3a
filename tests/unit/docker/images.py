"""The images as their Dockerfiles describe them: what is copied, run and installed. Nothing is built."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from dockerfile_parse import DockerfileParser
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from slipway.identity.code import code_digests

ROOT = Path(__file__).resolve().parents[3]
ROOTS = (ROOT / "include", ROOT / "spark_jobs", ROOT / "plugins")
INSIDE = "/opt/slipway"
NOT_ON_PYPI = {"tensorrt": "tensorrt", "cuda": "cuda-bindings"}
"""Modules that are not installed where tests run -> the distribution that has them."""


@dataclass(frozen=True)
class Image:
    """One image: its Dockerfile's folder, its stage (none: the last), what it runs, and its requirements."""

    name: str
    folder: str
    entries: tuple[str, ...]
    requirements: str
    stage: str | None = None

    @property
    def dockerfile(self) -> Path:
        return ROOT / "docker" / self.folder / "Dockerfile"

    def closure(self) -> set[str]:
        """Repository paths of the first-party modules that its entry points reach."""
        return set(_closure(self))


@cache
def _closure(image: Image) -> frozenset[str]:
    files = [path for pattern in image.entries for path in sorted(ROOT.glob(pattern))]
    assert files, f"{image.name}: no entry point"
    inside = {name for name in code_digests(files, ROOTS) if "/" in name}
    return frozenset(inside | {str(path.relative_to(ROOT)) for path in files})


IMAGES = (
    Image(
        "airflow",
        "airflow",
        ("dags/*.py", "plugins/**/*.py", "docker/airflow/*.py", "include/slipway/embedded/start_python.py"),
        "requirements.txt",
    ),
    Image(
        "spark",
        "spark",
        ("include/slipway/lake/datasource.py", "include/slipway/lake/spark_daemon.py", "spark_jobs/*.py"),
        "docker/spark/requirements.txt",
    ),
    Image(
        "trainer",
        "trainer",
        ("include/slipway/training/__main__.py", "include/slipway/compile/export.py", "include/models/*.py"),
        "docker/trainer/requirements.txt",
    ),
    Image(
        "compiler",
        "compiler",
        ("include/slipway/compile/__main__.py", "include/slipway/compile/targets/*.py"),
        "docker/compiler/requirements.txt",
    ),
    Image("device", "device", ("include/slipway/device/*.py",), "docker/device/requirements.txt", "device"),
    Image("fleet", "device", ("include/slipway/embedded/fleet.py",), "docker/device/requirements.txt", "fleet"),
    Image("gateway", "gateway", ("include/slipway/gateway/__main__.py",), "docker/gateway/requirements.txt"),
)
"""Images with first-party code; MLflow's has none."""
DOCKERFILES = sorted(ROOT.glob("docker/*/Dockerfile"))


@dataclass(frozen=True)
class Step:
    instruction: str
    value: str


@dataclass(frozen=True)
class Stage:
    base: str
    name: str | None
    steps: tuple[Step, ...]

    def values(self, instruction: str) -> list[str]:
        return [step.value for step in self.steps if step.instruction == instruction]


def steps(dockerfile: Path) -> list[Step]:
    parser = DockerfileParser(path=str(dockerfile))
    return [Step(s["instruction"], s["value"]) for s in parser.structure if s["instruction"] != "COMMENT"]


def stages(dockerfile: Path) -> list[Stage]:
    """The stages in order, without what stands before the first."""
    found: list[Stage] = []
    for step in steps(dockerfile):
        if step.instruction == "FROM":
            words = step.value.split()
            found.append(Stage(words[0], words[2] if len(words) == 3 else None, ()))
        elif found:
            last = found.pop()
            found.append(Stage(last.base, last.name, (*last.steps, step)))
    return found


def final(dockerfile: Path, name: str | None = None) -> list[Stage]:
    """The stages an image is made of, from its external base up; ``name`` none: the last one's."""
    everything = stages(dockerfile)
    by_name = {stage.name: stage for stage in everything if stage.name}
    stage = by_name[name] if name else everything[-1]
    chain = [stage]
    while chain[0].base in by_name:
        chain.insert(0, by_name[chain[0].base])
    return chain


def copies(stage: Stage) -> Iterator[tuple[str, str]]:
    """Source and destination of everything copied from the repository."""
    for value in stage.values("COPY"):
        words = shlex.split(value)
        if words[0].startswith("--from="):
            continue
        assert not words[0].startswith("--"), f"COPY with an option this reader does not know: {value}"
        *sources, destination = words
        for source in sources:
            yield source, destination


def placed(image: Image) -> dict[str, str]:
    """Repository path of every copied file -> its path in the image."""
    found = {}
    for stage in final(image.dockerfile, image.stage):
        for source, destination in copies(stage):
            path = ROOT / source
            if path.is_dir():
                found |= {
                    str(file.relative_to(ROOT)): f"{destination.rstrip('/')}/{file.relative_to(path)}"
                    for file in path.rglob("*")
                    if file.is_file()
                }
            else:
                found[source] = f"{destination}{path.name}" if destination.endswith("/") else destination
    return found


def imported(files: set[str]) -> set[str]:
    """Top-level names of the modules that files import, also those named in ``import_module("…")``."""
    names = set()
    for file in files:
        for node in ast.walk(ast.parse((ROOT / file).read_bytes())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
            elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
                names |= {a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return {".".join(n.split(".")[:2]) if n.startswith("google.") else n.split(".")[0] for n in names}


def requirements(path: str) -> list[Requirement]:
    """The requirements of a file and of those it includes."""
    found = []
    for raw in (ROOT / path).read_text().splitlines():
        line = raw.split("#")[0].strip()
        if line.startswith("-r "):
            found += requirements(str((ROOT / path).parent.relative_to(ROOT) / line.removeprefix("-r ").strip()))
        elif line:
            found.append(Requirement(line))
    return found


def installed(path: str) -> set[str]:
    """Every distribution that installing a requirements file brings, dependencies included, by the metadata here."""
    found: set[tuple[str, str]] = set()
    pending = [(str(canonicalize_name(r.name)), extra) for r in requirements(path) for extra in ("", *r.extras)]
    while pending:
        name, extra = pending.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        for needed in _needs(name, extra):
            pending += [(str(canonicalize_name(needed.name)), more) for more in ("", *needed.extras)]
    return {name for name, _ in found}


@cache
def _needs(name: str, extra: str) -> tuple[Requirement, ...]:
    try:
        stated = [Requirement(text) for text in requires(name) or ()]
    except PackageNotFoundError:
        assert name in NOT_ON_PYPI.values(), f"{name} is not installed here: make setup"
        return ()
    return tuple(r for r in stated if r.marker is None or r.marker.evaluate({"extra": extra}))


@cache
def distributions_of(module: str) -> frozenset[str]:
    """The distributions that provide a module."""
    if module in NOT_ON_PYPI:
        return frozenset({NOT_ON_PYPI[module]})
    if module == "google.protobuf":  # one of several that share the name `google`
        return frozenset({"protobuf"})
    return frozenset(str(canonicalize_name(name)) for name in _modules().get(module, ()))


@cache
def _modules() -> dict[str, list[str]]:
    return dict(packages_distributions())
