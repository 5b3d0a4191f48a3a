"""An in-memory channel with the rules of the signed one, a disk that dies half way, and files of a version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType

from slipway.errors import ChannelError, ReleaseError
from slipway.release.channel_files import Files
from slipway.release.channel_state import Artifact, ChannelState, Publication

_NONE: Mapping[str, Artifact] = MappingProxyType({})


class ChannelSimulator:
    """Implements ``ReleaseChannel`` with values instead of signatures; the same contract suite runs on both."""

    def __init__(self, clock: Callable[[], float] = lambda: 0.0) -> None:
        self._clock = clock
        self._published: dict[str, Publication] = {}
        self._artifacts: dict[str, Artifact] = {}

    def initialise(self) -> None:
        pass

    def state(self, pipeline: str) -> ChannelState | None:
        published = self.publication(pipeline)
        return published.state if published else None

    def publication(self, pipeline: str) -> Publication | None:
        return self._published.get(pipeline)

    def paths(self) -> list[str]:
        """What devices may download."""
        return sorted(self._artifacts)

    def read(self, path: str) -> bytes:
        if path.endswith("/channel.json") and (published := self.publication(path.removesuffix("/channel.json"))):
            return published.state.content()
        if path not in self._artifacts:
            raise ChannelError(f"the channel publishes no {path}")
        return self._artifacts[path].content

    def publish(self, state: ChannelState, artifacts: Mapping[str, Artifact] = _NONE, reason: str = "") -> ChannelState:
        for path, artifact in artifacts.items():
            self._check(state, path, artifact)
        published = self.publication(state.pipeline)
        if published and published.state.says_the_same_as(state):
            numbered = published.state
        else:
            numbered = state.model_copy(update={"serial": published.state.serial + 1 if published else 1})
            self._published[state.pipeline] = Publication(numbered, self._clock(), reason)
        named = {numbered.current, numbered.next}
        self._artifacts = {
            path: artifact
            for path, artifact in {**self._artifacts, **artifacts}.items()
            if not path.startswith(f"{state.pipeline}/") or artifact.custom["version"] in named
        }
        return numbered

    def rollback(self, pipeline: str, release: str, reason: str) -> ChannelState:
        published = self.publication(pipeline)
        if published is None or published.state.release != release:
            raise ReleaseError(f"the channel of {pipeline} is not in {release}")
        if published.state.completed:
            raise ReleaseError(f"{release} is completed")
        return self.publish(published.state.model_copy(update={"next": None, "percent": 0}), reason=reason)

    def _check(self, state: ChannelState, path: str, artifact: Artifact) -> None:
        if not path.startswith(f"{state.pipeline}/") or ".." in path:
            raise ChannelError(f"{path} is outside {state.pipeline}/")
        if artifact.custom.get("version") not in {state.current, state.next} - {None}:
            raise ChannelError(f"{path} is of a version the state does not name")
        if path in self._artifacts and self._artifacts[path].content != artifact.content:
            raise ChannelError(f"{path} is published with other bytes")


class Killed(BaseException):
    """The process is gone; nothing that catches ``Exception`` may survive it."""


class DyingFiles:
    """Files of which only the first ``writes`` writes happen; then the process is killed."""

    def __init__(self, files: Files, writes: int) -> None:
        self._files = files
        self.left = writes

    def read(self, path: str) -> bytes | None:
        return self._files.read(path)

    def write(self, path: str, content: bytes) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1
        self._files.write(path, content)


def version_files(
    pipeline: str = "flight_delay",
    targets: tuple[str, ...] = ("x86-cpu", "x86-cpu-int8"),
    content: bytes = b"a model",
    shares: Mapping[str, float] = MappingProxyType({"late": 0.2, "on_time": 0.8}),
) -> dict[str, bytes]:
    """The files of a registered version; its models are any bytes, as the release never runs them."""
    files = {
        "golden.npz": b"golden " + content,
        "evaluation.json": json.dumps({"prediction_shares": dict(shares)}).encode(),
        "provenance.json": b"statements of " + content,
        "MLmodel": b"flavors: {}",
    }
    for target in targets:
        model = content + b" for " + target.encode()
        manifest = {
            "pipeline": pipeline,
            "target": target,
            "runtime": "onnxruntime",
            "architecture": "x86_64",
            "artifact": "model.onnx",
            "sha256": hashlib.sha256(model).hexdigest(),
            "size": len(model),
            "classes": ["on_time", "late"],
        }
        files[f"targets/{target}/model.onnx"] = model
        files[f"targets/{target}/manifest.json"] = json.dumps(manifest).encode()
    return files
