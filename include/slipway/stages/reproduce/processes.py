"""A past stage as a process of this machine, with the code of its checkout; what it writes goes to a branch."""

from __future__ import annotations

import shutil
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway.connections import LakeConnection, MlflowConnection, SparkConnection
from slipway.lake.uri import LakeUri
from slipway.pods.manifest import PodManifest, Secrets, load_manifest
from slipway.pods.process import ProcessPod
from slipway.registry.private_store import private_store
from slipway.stages.landing import SPARK
from slipway.stages.spark import session, worker_code

_JOBS = Path(__file__).with_name("jobs.py")
_START_SECONDS, _DAY_SECONDS = 600, 120
_LAKE = {
    "LAKECTL_SERVER_ENDPOINT_URL": "endpoint",
    "LAKECTL_CREDENTIALS_ACCESS_KEY_ID": "access-key",
    "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY": "secret-key",
}
_OWN_SPARK = {
    "spark.master": "local[2]",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    **SPARK,
    "spark.sql.shuffle.partitions": "2",
}


@dataclass(frozen=True)
class Processes:
    """Makes stages again."""

    lake: LakeConnection
    spark: SparkConnection
    registry: MlflowConnection
    present: Path
    """The checkout whose code a Spark Connect server's workers have loaded."""
    folder: Path
    """Working files go here."""
    say: Callable[[str], None]

    def features(self, root: Path, job: str, days: Mapping[str, tuple[LakeUri, LakeUri]]) -> None:
        """Run a checkout's job for each day, from one place to another.

        The Spark of the connection does it where its workers have the checkout's code; else a Spark of the process.

        Raises:
            PodError: the job failed.
            UnavailableError: Spark Connect does not answer.
        """
        places = [str(part) for day, (source, output) in days.items() for part in (day, source, output)]
        remote = self.spark.remote if worker_code(root) == worker_code(self.present) else None
        if remote:
            with session(self.spark, str(uuid.uuid4())) as spark:  # fails within seconds where nobody answers
                self.say(f"  Spark {spark.version} of connection spark_default")
        else:
            self.say("  a Spark of its own, since the connection's has other code or cannot be asked from here")
        manifest = _job(root, {"SPARK_REMOTE": remote} if remote else _own_spark(root, self.folder), len(days))
        arguments = [str(root / "spark_jobs" / f"{job}.py"), *places]
        self._run(manifest, arguments, root, self._secrets(self.registry))

    def work(
        self,
        root: Path,
        pod: str,
        command: Sequence[str] | None,
        arguments: Sequence[str],
        champion: tuple[str, str] | None = None,
    ) -> None:
        """Run a checkout's pod. MLflow is a store of its own, with the champion (model, version) in it.

        Raises:
            PodError: it failed.
            RegistryError: the champion does not exist any more.
        """
        name, version = champion or ("", None)
        store = private_store(self.folder / "mlflow", self.registry, name, version)
        manifest = load_manifest(root / "include" / "pods" / f"{pod}.yaml").with_command(command)
        self._run(manifest, arguments, root, self._secrets(store))

    def _run(self, manifest: PodManifest, arguments: Sequence[str], root: Path, secrets: Secrets) -> None:
        ProcessPod(manifest, arguments, secrets, root, folder=self.folder).run(lambda line: self.say(f"  {line}"))

    def _secrets(self, registry: MlflowConnection) -> Secrets:
        keys = {
            "endpoint": self.lake.endpoint,
            "access-key": self.lake.access_key,
            "secret-key": self.lake.secret_key,
        }
        return {"slipway-lakefs": keys, "slipway-mlflow": {"tracking-uri": registry.tracking_uri}}


def _job(root: Path, environment: Mapping[str, str], days: int) -> PodManifest:
    variables = {"PYTHONPATH": f"{root / 'include'}:{root / 'spark_jobs'}", **environment}
    from_secrets = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": "slipway-lakefs", "key": key}}}
        for name, key in _LAKE.items()
    ]
    container = {
        "name": "base",
        "image": "this machine's",
        "command": ["python", "-P", str(_JOBS)],
        "env": [*({"name": name, "value": value} for name, value in variables.items()), *from_secrets],
    }
    deadline = _START_SECONDS + _DAY_SECONDS * days
    return PodManifest.model_validate(
        {"kind": "Pod", "spec": {"activeDeadlineSeconds": deadline, "containers": [container]}}
    )


def _own_spark(root: Path, folder: Path) -> dict[str, str]:
    java = shutil.which("java")
    launcher = root / "include" / "slipway" / "lake" / "spark-python"
    options = {**_OWN_SPARK, "spark.local.dir": str(folder / "spark"), "spark.sql.warehouse.dir": str(folder / "spark")}
    conf = " ".join(f"--conf {name}={value}" for name, value in options.items())
    return {
        "PYSPARK_SUBMIT_ARGS": f"{conf} pyspark-shell",
        # Workers forked with their imports done (docs/adr/0002), where the checkout has that; no library may start a
        # thread then.
        "PYSPARK_PYTHON": str(launcher) if launcher.exists() else sys.executable,
        "SLIPWAY_PYTHON": sys.executable,
        "OPENBLAS_NUM_THREADS": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "SPARK_LOCAL_IP": "127.0.0.1",
        **({"JAVA_HOME": str(Path(java).resolve().parents[1])} if java else {}),
    }
