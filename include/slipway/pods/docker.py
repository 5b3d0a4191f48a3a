"""The ``docker`` runtime: the same manifest on one machine's Docker engine, for a GPU workstation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from slipway.errors import ConfigurationError, PodDeadlineError, PodFailedError, UnavailableError
from slipway.identity.digest import sha256_bytes
from slipway.pods.manifest import PodManifest, Secrets
from slipway.pods.process import pod_failure

IMAGE_USER = 10001
"""The user and group of this project's images (docker/)."""
_CONFLICT = 409
_UNITS = {
    "": 1,
    **{f"{letter}i": 2 ** (10 * power) for power, letter in enumerate("KMGTPE", start=1)},
    **{letter: 1000**power for power, letter in enumerate("kMGTPE", start=1)},
}


def bytes_of(quantity: str | float) -> int:
    """A Kubernetes memory quantity (``512Mi``, ``8Gi``, ``1000``) in bytes.

    Raises:
        ConfigurationError: it is not a quantity Kubernetes would read.
    """
    text = str(quantity)
    digits = text.rstrip("KMGTPEki")
    try:
        return int(float(digits) * _UNITS[text[len(digits) :]])
    except (KeyError, ValueError) as error:
        raise ConfigurationError(f"expected a memory quantity such as 512Mi or 8Gi, got {text!r}") from error


def cores_of(quantity: str | float) -> float:
    """A Kubernetes CPU quantity (``2``, ``500m``) in cores."""
    text = str(quantity)
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def container_name(output: str, owner: str) -> str:
    """The name of the one container that may work on ``output``, the same for each try.

    ``owner`` keeps installations apart that share an engine, such as the address and key of their lakes.
    """
    return f"slipway-{sha256_bytes(f'{owner} {output}'.encode())[:32]}"


def container_options(manifest: PodManifest, arguments: Sequence[str], secrets: Secrets, name: str) -> dict[str, Any]:
    """Keyword arguments of the Docker SDK's ``containers.create`` for a manifest.

    ``nvidia.com/gpu`` becomes a device request; the host's network is used so that services on loopback are
    reached under the addresses their connections name; root file system read-only, no capabilities. It runs as
    ``runAsUser`` and ``runAsGroup``, as the images' own user where the manifest names none.
    """
    container = manifest.container
    limits = container.resources.limits
    options: dict[str, Any] = {
        "name": name,
        "image": container.image,
        "entrypoint": list(container.command),
        "command": [*container.args, *arguments],
        "environment": manifest.environment(secrets),
        "user": _user(manifest),
        "network_mode": "host",
        "read_only": True,
        "tmpfs": {"/tmp": "rw,noexec,nosuid"},  # noqa: S108 - the container's, as the manifest mounts it
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "detach": True,
    }
    if "memory" in limits:
        options["mem_limit"] = bytes_of(limits["memory"])
    if "cpu" in limits:
        options["nano_cpus"] = int(cores_of(limits["cpu"]) * 1e9)
    if "nvidia.com/gpu" in limits:
        from docker.types import DeviceRequest

        options["device_requests"] = [DeviceRequest(count=int(limits["nvidia.com/gpu"]), capabilities=[["gpu"]])]
    return options


def _user(manifest: PodManifest) -> str:
    if manifest.user is None:
        return f"{IMAGE_USER}:{IMAGE_USER if manifest.group is None else manifest.group}"
    return str(manifest.user) if manifest.group is None else f"{manifest.user}:{manifest.group}"


def engine() -> Any:
    """The Docker SDK's client for the engine its own environment names (``DOCKER_HOST``, else the local socket).

    Raises:
        UnavailableError: there is no engine at that address.
    """
    import docker

    with _translated("connecting"):
        return docker.from_env(version="auto")


class DockerPod:
    """One run of a manifest as a container of a Docker engine (``client``: the Docker SDK's client).

    A container of the same ``name`` that is there already was left by a killed worker: it is removed first, so that
    it neither holds the GPU nor writes over what this run writes. See ``container_name``.
    """

    def __init__(
        self, client: Any, manifest: PodManifest, arguments: Sequence[str], secrets: Secrets, name: str
    ) -> None:
        self._client = client
        self._manifest = manifest
        self._options = container_options(manifest, arguments, secrets, name)
        self._container: Any = None

    def run(self, log: Callable[[str], None]) -> None:
        """Run to the end, passing each line of output to ``log``; the container is removed whatever happens.

        Raises:
            PodDeadlineError: it ran longer than ``activeDeadlineSeconds`` and was killed.
            PodFailedError: it ended with a non-zero exit code, or was removed from outside.
            ConfigurationError: the engine has no such image, or refuses the container.
            UnavailableError: the engine did not answer, or is still removing the container of an earlier try.
        """
        deadline = self._manifest.spec.deadline
        expired = threading.Event()
        try:
            with _translated("starting the container"):
                self._remove_leftover()
                self._container = container = self._created()
                container.start()
            timer = threading.Timer(deadline, _expire, (container, expired))
            timer.start()
            try:
                with _translated("following the container"):
                    tail = _follow(container, log)
                    code = container.wait()["StatusCode"]
            finally:
                timer.cancel()
        finally:
            self.kill()
        if expired.is_set():
            raise PodDeadlineError(
                f"the container ran longer than activeDeadlineSeconds={deadline} and was killed; "
                "raise the deadline in its manifest or give it less to do"
            )
        if code:
            raise pod_failure(code, tail)

    def kill(self) -> None:
        """Remove the container, running or not; harmless when it is gone or the engine is."""
        import docker.errors
        import requests

        container, self._container = self._container, None
        if container is not None:
            with suppress(docker.errors.DockerException, requests.exceptions.RequestException):
                container.remove(force=True)

    def _remove_leftover(self) -> None:
        import docker.errors

        with suppress(docker.errors.NotFound):
            self._client.containers.get(self._options["name"]).remove(force=True)

    def _created(self) -> Any:
        import docker.errors

        # Not `containers.run`: where starting fails (no GPU driver), it leaves the created container behind.
        try:
            return self._client.containers.create(**self._options)
        except docker.errors.ImageNotFound:
            self._client.images.pull(self._options["image"])
            return self._client.containers.create(**self._options)


def _follow(container: Any, log: Callable[[str], None]) -> str:
    """Pass each line on as it comes; returns the last few."""
    tail: list[str] = []
    rest = b""
    for chunk in container.logs(stream=True, follow=True):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            tail = [*tail[-4:], line.decode(errors="replace")]
            log(tail[-1])
    if rest:
        tail = [*tail[-4:], rest.decode(errors="replace")]
        log(tail[-1])
    return "\n".join(tail)


def _expire(container: Any, expired: threading.Event) -> None:
    import docker.errors

    expired.set()
    # Killed, not removed: its log then ends and its exit code can still be asked for.
    with suppress(docker.errors.DockerException):
        container.kill()


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    """The Docker SDK's errors as the library's."""
    import docker.errors
    import requests

    try:
        yield
    except docker.errors.ImageNotFound as error:
        raise ConfigurationError(
            f"{doing}: expected an image the Docker engine has or can pull; build it from docker/ or correct the "
            f"manifest: {error}"
        ) from error
    except docker.errors.NotFound as error:
        raise _vanished(error) from error
    except docker.errors.APIError as error:
        # A conflict is one with what the engine is doing just now: the removal of a container takes a while.
        if error.is_client_error() and error.status_code != _CONFLICT:
            raise ConfigurationError(f"{doing}: the Docker engine refuses it: {error}") from error
        raise UnavailableError(f"{doing}: the Docker engine failed: {error}") from error
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise UnavailableError(
            f"{doing}: the Docker engine did not answer; check that it runs and that DOCKER_HOST names it: {error}"
        ) from error


def _vanished(error: Exception) -> PodFailedError:
    failure = PodFailedError(f"the container was removed while it ran: {error}")
    failure.retryable = True
    return failure
