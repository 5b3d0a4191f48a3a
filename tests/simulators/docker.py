"""``EngineSimulator``: a Docker engine in memory behind the part of the Docker SDK's client that ``DockerPod`` uses.

Options of a container go through the SDK's own conversion, so one it does not know fails here as it would there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import docker.errors
from docker.models.containers import _create_container_args
from requests import Response


class ContainerSimulator:
    """One container; it works while its log is followed."""

    def __init__(self, engine: EngineSimulator, options: dict[str, Any]) -> None:
        self._engine = engine
        self._options = options
        self._killed = threading.Event()
        self.name = str(options["name"])
        self.started = False

    def start(self) -> None:
        if self._engine.refuses is not None:
            raise self._engine.refuses
        self.started = True

    def logs(self, *, stream: bool, follow: bool) -> Iterator[bytes]:
        assert stream and follow
        yield from self._engine.log
        if self._engine.hangs:
            assert self._killed.wait(timeout=20), "nobody stopped the container"
        else:
            self._engine.work(self._options)

    def wait(self) -> dict[str, Any]:
        self._engine.containers.need(self)
        return {"StatusCode": 137 if self._killed.is_set() else self._engine.exit_code, "Error": None}

    def kill(self) -> None:
        self._engine.containers.need(self)
        self._killed.set()

    def remove(self, *, force: bool) -> None:
        self._engine.containers.need(self)
        if self._engine.removing:
            explanation = f"removal of container {self.name} is already in progress"
            raise docker.errors.APIError("", answer(409), explanation=explanation)
        assert force or not self.started
        self._engine.containers.remaining.remove(self)
        self._killed.set()


class ContainersSimulator:
    """``client.containers``; ``remaining`` are those not removed."""

    def __init__(self, engine: EngineSimulator) -> None:
        self._engine = engine
        self.remaining: list[ContainerSimulator] = []

    def create(self, image: str, command: Sequence[str], **options: Any) -> ContainerSimulator:
        if any(container.name == options["name"] for container in self.remaining):
            explanation = f"The container name {options['name']} is already in use"
            raise docker.errors.APIError("", answer(409), explanation=explanation)
        if image not in self._engine.images.present:
            raise docker.errors.ImageNotFound("", answer(404), explanation=f"No such image: {image}")
        _create_container_args({"image": image, "command": command, "version": "1.44", **options})
        self._engine.created.append({"image": image, "command": command, **options})
        container = ContainerSimulator(self._engine, self._engine.created[-1])
        self.remaining.append(container)
        return container

    def get(self, name: str) -> ContainerSimulator:
        for container in self.remaining:
            if container.name == name:
                return container
        raise docker.errors.NotFound("", answer(404), explanation=f"No such container: {name}")

    def need(self, container: ContainerSimulator) -> None:
        if container not in self.remaining:
            raise docker.errors.NotFound("No such container", response=answer(404))


class ImagesSimulator:
    """``client.images``: those present, and those a registry has."""

    def __init__(self, present: set[str], registry: set[str]) -> None:
        self.present = present
        self._registry = registry

    def pull(self, repository: str) -> None:
        if repository not in self._registry:
            raise docker.errors.ImageNotFound("", answer(404), explanation=f"pull access denied for {repository}")
        self.present.add(repository)


class EngineSimulator:
    """A client whose containers print ``log``, do ``work``, then end with ``exit_code``; or hang until killed.

    ``removing``: it is already busy removing whatever it is asked to remove.
    """

    def __init__(
        self,
        *,
        work: Callable[[dict[str, Any]], None] = lambda options: None,
        log: Sequence[bytes] = (),
        exit_code: int = 0,
        hangs: bool = False,
        refuses: Exception | None = None,
        removing: bool = False,
        present: set[str] | None = None,
        registry: set[str] | None = None,
    ) -> None:
        self.work = work
        self.log = log
        self.exit_code = exit_code
        self.hangs = hangs
        self.refuses = refuses
        self.removing = removing
        self.created: list[dict[str, Any]] = []
        self.containers = ContainersSimulator(self)
        self.images = ImagesSimulator({"slipway/trainer:0.1.0"} if present is None else present, registry or set())


def answer(status: int) -> Response:
    """What the SDK's errors carry to say whose fault it was."""
    response = Response()
    response.status_code = status
    return response
