"""``ClusterSimulator``: a Kubernetes API server on HTTP with one simulated node.

The API (objects, discovery, errors) is ``kmock``'s emulator on an event loop of its own thread; label selectors and pod
logs, which it does not have, stand here. The node's kubelet takes each new pod from Pending through Running to its end,
as ``Ending`` says, and serves the container's log while it runs. A container works when someone follows its log, and a
pod that never starts ends after someone saw it waiting, so that nothing depends on who is faster.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import kmock

Pod = dict[str, Any]
PODS = kmock.resource("", "v1", "pods")


@dataclass(frozen=True)
class Ending:
    """How pods end: what the container does, prints and returns, and what the cluster says of it."""

    exit_code: int = 0
    work: Callable[[Pod], None] = lambda pod: None
    log: tuple[str, ...] = ("working",)
    reason: str | None = None
    """The pod's own reason, such as ``DeadlineExceeded`` or ``Evicted``."""
    image_error: str | None = None
    """The container waits for ever with this message of a failed pull."""
    starts: bool = True
    """Whether the container ever ran before the pod ended."""


class _Api(kmock.KubernetesEmulator):  # type: ignore[misc]  # kmock's types are not checked here
    """Can refuse new pods; a reaction of kmock's cannot, since the emulator keeps the object all the same."""

    refusal: kmock.KubernetesError | None = None

    async def _handle(self, request: Any) -> Any:
        if self.refusal is not None and request.action == kmock.action.CREATE:
            raise self.refusal
        return await super()._handle(request)


class ClusterSimulator:
    """Use ``running_cluster``. ``created`` and ``deleted`` keep what came over HTTP, in order."""

    def __init__(self, ending: Ending) -> None:
        self.ending = ending
        self.created: list[Pod] = []
        self.deleted: list[str] = []
        self.api = _Api()
        self.api.resources["v1/events"] = {}
        self.api["list", PODS] << self._list
        self.api["get", kmock.subresource("log")] << self._log
        self.api["create", PODS] >> self._accept
        self.api["delete", PODS] >> (lambda request: self.deleted.append(request.name))
        self.api[kmock.action.FETCH, PODS] >> (lambda request: self._seen[request.name].set())
        self._seen: dict[str, asyncio.Event] = {}
        self._followed: dict[str, asyncio.Event] = {}
        self._ended: dict[str, asyncio.Event] = {}
        self._kubelets: set[asyncio.Task[None]] = set()

    def kube_config(self) -> dict[str, Any]:
        """A kubeconfig for this cluster, as a connection's ``kube_config`` holds it."""
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "simulated",
            "clusters": [{"name": "simulated", "cluster": {"server": str(self.api.url).rstrip("/")}}],
            "users": [{"name": "airflow", "user": {"token": "simulated"}}],
            "contexts": [{"name": "simulated", "context": {"cluster": "simulated", "user": "airflow"}}],
        }

    def refuse(self, code: int, message: str) -> None:
        """Answer every new pod with this."""
        self.api.refusal = kmock.KubernetesError(status=code, reason="Refused", message=message)

    async def stop(self) -> None:
        """Turn the node off; pods that have not ended never will."""
        for kubelet in list(self._kubelets):
            kubelet.cancel()
        await asyncio.gather(*self._kubelets, return_exceptions=True)

    def names(self) -> list[str]:
        """The pods that exist now."""
        return [name for (_, _, name), pod in self.api.objects.items() if not pod.deleted]

    def _accept(self, request: Any) -> None:
        self.created.append(request.data)
        name, namespace = request.data["metadata"]["name"], request.namespace
        self.api.objects[PODS, namespace, name].patch(
            {
                "metadata": {"uid": str(uuid.uuid4()), "creationTimestamp": _now(), "namespace": namespace},
                "status": {"phase": "Pending"},
            }
        )
        for moments in (self._seen, self._followed, self._ended):
            moments[name] = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._kubelet(namespace, name))
        self._kubelets.add(task)
        task.add_done_callback(self._kubelets.discard)

    async def _kubelet(self, namespace: str, name: str) -> None:
        ending = self.ending
        scheduled = {"type": "PodScheduled", "status": "True"}
        self._status(namespace, name, {"phase": "Pending", "conditions": [scheduled], "startTime": _now()})
        if ending.image_error:
            waiting = {"waiting": {"reason": "ErrImagePull", "message": ending.image_error}}
            self._status(namespace, name, {"containerStatuses": [_container(waiting)]})
            return
        if ending.starts:
            running = {"running": {"startedAt": _now()}}
            self._status(namespace, name, {"phase": "Running", "containerStatuses": [_container(running)]})
            await self._followed[name].wait()
            pod = self.api.objects[PODS, namespace, name].raw
            ending.work(pod)
            stopped = {"exitCode": ending.exit_code, "finishedAt": _now(), **_last_words(ending, pod)}
            self._status(namespace, name, {"containerStatuses": [_container({"terminated": stopped})]})
        else:
            await self._seen[name].wait()
        good = ending.exit_code == 0 and ending.reason is None
        self._status(namespace, name, {"phase": "Succeeded" if good else "Failed", "reason": ending.reason})
        self._ended[name].set()

    def _status(self, namespace: str, name: str, status: dict[str, Any]) -> None:
        if not self.api.objects[PODS, namespace, name].deleted:
            self.api.objects[PODS, namespace, name].patch({"status": status})

    def _list(self, request: Any) -> dict[str, Any]:
        found = [
            pod.raw
            for (resource, namespace, _), pod in self.api.objects.items()
            if resource == PODS and namespace == request.namespace and not pod.deleted
        ]
        selector = request.params.get("labelSelector", "")
        items = [pod for pod in found if selects(selector, pod["metadata"].get("labels", {}))]
        return {"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": items}

    async def _log(self, request: Any) -> AsyncIterator[bytes]:
        self._followed[request.name].set()
        yield b""
        for line in self.ending.log:
            yield f"{_now()} {line}\n".encode()
        await self._ended[request.name].wait()


@contextmanager
def running_cluster(ending: Ending | None = None) -> Iterator[ClusterSimulator]:
    """A cluster on a free port of this machine until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="cluster", daemon=True)
    thread.start()
    stack = AsyncExitStack()

    async def start() -> ClusterSimulator:
        cluster = ClusterSimulator(ending or Ending())
        await stack.enter_async_context(cluster.api)
        await stack.enter_async_context(kmock.Server(cluster.api))
        stack.push_async_callback(cluster.stop)
        return cluster

    try:
        yield asyncio.run_coroutine_threadsafe(start(), loop).result(timeout=20)
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(timeout=20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=20)
        loop.close()


def selects(selector: str, labels: dict[str, str]) -> bool:
    """Whether a label selector (``a=b``, ``a!=b``, ``a``, ``!a``, joined by commas) selects these labels."""
    for term in filter(None, selector.split(",")):
        name, negated, value = term.partition("!=")
        if negated:
            matches = labels.get(name) != value
        elif "=" in term:
            name, _, value = term.partition("=")
            matches = labels.get(name) == value
        else:
            matches = (term.removeprefix("!") in labels) != term.startswith("!")
        if not matches:
            return False
    return True


def _container(state: dict[str, Any]) -> dict[str, Any]:
    ready = "running" in state
    return {"name": "base", "image": "", "imageID": "", "ready": ready, "restartCount": 0, "state": state}


def _last_words(ending: Ending, pod: Pod) -> dict[str, str]:
    """What a container that wrote no message leaves: the end of its log, where its manifest asks for that."""
    if ending.exit_code == 0:
        return {"reason": "Completed"}
    wanted = pod["spec"]["containers"][0].get("terminationMessagePolicy") == "FallbackToLogsOnError"
    return {"reason": "Error", **({"message": "\n".join(ending.log[-80:])} if wanted else {})}


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat().replace("+00:00", "Z")
