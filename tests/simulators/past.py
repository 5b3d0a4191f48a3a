"""A small past: days of data, versions made of them, releases, and a fleet that ran them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from slipway.errors import UnavailableError, UnknownDeviceError
from slipway.identity.digest import sha256_bytes
from slipway.ledger.statement import Statement
from slipway.ledger.store import Ledger
from slipway.release.evidence import Device
from slipway.release.fleet_history import Ran
from tests.simulators.ledger import BEGIN, execution, statement

TARGETS = ("x86-cpu", "x86-cpu-int8")


def commit_id(kind: str, about: str) -> str:
    """The id of a commit of the lake."""
    return sha256_bytes(f"{kind} {about}".encode())


def hour(number: float) -> dt.datetime:
    """That many hours after everything began."""
    return BEGIN + dt.timedelta(hours=number)


class Past:
    """Writes what stages would state into a ledger. Versions are released an hour apart: version 1 at ``hour(1)``."""

    def __init__(self, ledger: Ledger, pipeline: str = "shop") -> None:
        self.ledger, self.pipeline = ledger, pipeline

    def day(self, day: str, content: str = "") -> None:
        """Ingest a day and make features of it; other content gives other bytes in another commit."""
        rows = sha256_bytes(f"rows {day} {content}".encode())
        landed = self._at(raw=commit_id("raw", day + content))
        published = landed | self._at(main=commit_id("main", day + content))
        raw, made_of = {f"raw/sales/date={day}/sales.csv": rows}, {"parameters": {"day": day, "content": content}}
        self._record("ingest", day, raw, {f"feed/{day}": rows}, landed, made_of)
        self._record("features", day, self._features(day, content), raw, published, made_of)

    def version(self, version: str, days: Sequence[str], content: Mapping[str, str] | None = None, **made: Any) -> None:
        """Train on days, export, compile for every target, register. ``made`` are parameters of the training."""
        read = {name: sha for day in days for name, sha in self._features(day, (content or {}).get(day, "")).items()}
        commits = self._at(data=commit_id("main", days[-1]), model=commit_id("model", version))
        train = {"partitions": list(days), **made}
        trained = self._work("train", f"{days[0]}..{days[-1]}", "model.safetensors", version, read, commits, train)
        exported = self._work("export", f"{days[0]}..{days[-1]}", "model.onnx", version, trained.outputs, commits)
        compiled = [
            self._work("compile", target, "model.bin", version, exported.outputs, commits) for target in TARGETS
        ]
        files = {f"targets/{target}/{name}" for target in TARGETS for name in ("model.bin", "manifest.json")}
        outputs = {
            f"versions/{version}/{name}": sha256_bytes(f"{name} {version}".encode()) for name in ("golden.npz", *files)
        }
        works = (trained, exported, *compiled)
        materials = {name: sha for work in works for name, sha in work.outputs.items()}
        inputs = {work.stage: work.fingerprint for work in works}
        details = {"metrics": {"log_loss": 0.5 - int(version) / 100}}
        made_of = {"parameters": {"version_of": version}, "inputs": inputs}
        self._record("register", version, outputs, materials, commits, made_of, details=details)

    def release(self, version: str, outcome: str = "completed", *, at: float | None = None) -> str:
        """End a release of a version; returns its id."""
        (registered,) = self.ledger.statements(self.pipeline, "register", version)
        ended = float(version) if at is None else at
        release = f"{self.pipeline}-v{version}-{int(ended):08x}"
        said = {"version": version, "release": release, "outcome": outcome}
        outputs = {f"releases/{release}/channel.json": sha256_bytes(release.encode())}
        seconds = ended * 3600 - 1
        self._record("release", version, outputs, registered.outputs, {}, {"parameters": said}, seconds, details=said)
        return release

    def _work(
        self,
        stage: str,
        subject: str,
        file: str,
        version: str,
        materials: Mapping[str, str],
        commits: Mapping[str, str],
        parameters: Mapping[str, Any] | None = None,
    ) -> Statement:
        kind = f"{stage}-{subject}" if stage == "compile" else stage
        outputs = {f"models/{kind}/{commit_id(kind, version)}/{file}": sha256_bytes(f"{kind} {version}".encode())}
        made_of = {"parameters": dict(parameters or {}) | {"of": version, "kind": kind}, "inputs": dict(materials)}
        return self._record(stage, subject, outputs, materials, commits, made_of)

    def _features(self, day: str, content: str) -> dict[str, str]:
        return {f"features/date={day}/part-0.parquet": sha256_bytes(f"features {day} {content}".encode())}

    def _record(
        self,
        stage: str,
        subject: str,
        outputs: Mapping[str, str],
        materials: Mapping[str, str],
        commits: Mapping[str, str],
        made_of: Mapping[str, Any],
        seconds: float = 0.0,
        **more: Any,
    ) -> Statement:
        made = statement(
            stage, subject, pipeline=self.pipeline, outputs=outputs, materials=materials, commits=commits,
            made_of=made_of, execution=execution(f"{stage}-{subject}", seconds), **more,
        )  # fmt: skip
        self.ledger.record(made)
        return made

    def _at(self, **commits: str) -> dict[str, str]:
        return {role: f"{self.pipeline}@{commit}" for role, commit in commits.items()}


class FleetSimulator:
    """A ``slipway.ledger.audit.ask.Fleet`` of what devices are told to have run; cut off, it does not answer."""

    def __init__(self) -> None:
        self.reachable = True
        self.enrolled: dict[str, str] = {}
        self._ran: dict[str, list[Ran]] = {}

    def runs(self, device: str, version: str | None, since: float, release: str | None = None, **more: Any) -> None:
        """From that hour on a device runs a version, for target ``x86-cpu`` unless it is enrolled for another."""
        start = hour(since).timestamp()
        told = {"pipeline": "shop", "clock": "device", "received_at": start + 5, "removed": False, "seen": start + 60}
        before = self._ran.setdefault(device, [])
        if before and before[-1].until is None:
            before[-1] = Ran(**{**vars(before[-1]), "until": start})
        self.enrolled.setdefault(device, "x86-cpu")
        before.append(
            Ran(
                **{
                    **told,
                    "device_id": device,
                    "version": version,
                    "release": release,
                    "since": start,
                    "until": None,
                    **more,
                }
            )
        )

    def remove(self, device: str, at: float) -> None:
        """The device leaves the fleet."""
        del self.enrolled[device]
        last = self._ran[device][-1]
        self._ran[device][-1] = Ran(**{**vars(last), "until": hour(at).timestamp(), "removed": True})

    def running(self, device_id: str, at: float) -> Ran | None:
        held = [ran for ran in self.history(device_id) if ran.since <= at and (ran.until is None or at < ran.until)]
        return held[-1] if held else None

    def history(self, device_id: str) -> tuple[Ran, ...]:
        self._require_reachable()
        if device_id not in self._ran:
            raise UnknownDeviceError(f"expected a device known to the gateway, got {device_id!r}")
        return tuple(self._ran[device_id])

    def devices_of(self, pipeline: str, versions: Sequence[str]) -> tuple[Ran, ...]:
        self._require_reachable()
        every = (ran for device in sorted(self._ran) for ran in self._ran[device])
        return tuple(ran for ran in every if ran.pipeline == pipeline and ran.version in versions)

    def devices(self, pipeline: str) -> tuple[Device, ...]:
        self._require_reachable()
        return tuple(Device(name, target) for name, target in sorted(self.enrolled.items()))

    def _require_reachable(self) -> None:
        if not self.reachable:
            raise UnavailableError("no answer from the simulated gateway")
