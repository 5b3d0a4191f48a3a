"""What the stages change outside: each effect by its key, and by what one sees afterwards whether it happened.

``slipway.stages.recorded`` makes them, ``slipway.stages.reconcile`` looks for them.
"""

from __future__ import annotations

from collections.abc import Mapping

from slipway.lake.uri import LakeUri
from slipway.ledger.effects import Effect, Kind
from slipway.release.channel_state import ChannelState

FINGERPRINT = "slipway.fingerprint"
"""Commit metadata that names the work a commit is of."""


def branch_effect(kind: Kind, repository: str, branch: str) -> Effect:
    """Making, deleting, or writing on a branch. All that a step writes until it commits is one effect."""
    place = f"lakefs://{repository}/{branch}"
    return Effect(kind, place, place, {"repository": repository, "branch": branch})


def commit(repository: str, branch: str, message: str) -> Effect:
    """Committing a branch; the message says which of its commits."""
    place = f"lakefs://{repository}/{branch}"
    return Effect(
        "commit", f"{place}: {message}", place, {"repository": repository, "branch": branch, "message": message}
    )


def merge(repository: str, source: str, destination: str, metadata: Mapping[str, str]) -> Effect:
    """Merging one work, known by its fingerprint, into a branch."""
    place, work = f"lakefs://{repository}/{destination}", metadata.get(FINGERPRINT, source)
    details = {"repository": repository, "branch": destination, "source": source, "work": work}
    return Effect("merge", f"{place}<-{work}", place, details)


def tag(repository: str, name: str) -> Effect:
    """Naming a commit for good."""
    place = f"lakefs://{repository}/{name}"
    return Effect("tag", place, place, {"repository": repository, "tag": name})


def job(name: str, output: LakeUri) -> Effect:
    """Running a Spark job that writes the folder ``output``."""
    return Effect("run_job", f"{name} -> {output}", str(output), _at(output))


def pod(output: LakeUri, result: str) -> Effect:
    """Running the pod that writes the folder ``output``, and its file ``result`` last."""
    return Effect("start_pod", str(output), str(output), _at(output / result))


def register(model: str, fingerprint: str) -> Effect:
    """Making the version of a model that has a fingerprint."""
    return Effect(
        "register", f"{model}@{fingerprint}", f"models:/{model}", {"model": model, "fingerprint": fingerprint}
    )


def set_alias(model: str, alias: str, version: str) -> Effect:
    """Pointing an alias at a version."""
    details = {"model": model, "alias": alias, "version": version}
    return Effect("set_alias", f"{model}@{alias}={version}", f"models:/{model}@{alias}", details)


def publish(state: ChannelState) -> Effect:
    """Making a state of a release what devices obey."""
    details = {"pipeline": state.pipeline, "release": state.release, "moment": moment(state)}
    return Effect("publish", f"{state.release}: {moment(state)}", f"channel:/{state.pipeline}", details)


def roll_back(pipeline: str, release: str) -> Effect:
    """Sending every device back to the version before a release."""
    details = {"pipeline": pipeline, "release": release, "moment": "rolled back"}
    return Effect("publish", f"{release}: rolled back", f"channel:/{pipeline}", details)


def moment(state: ChannelState) -> str:
    """Where in its release a channel is; see ``ChannelState``."""
    if state.next is not None:
        return f"{state.percent}%"
    return "completed" if state.completed else "rolled back"


def _at(uri: LakeUri) -> dict[str, str]:
    return {"repository": uri.repository, "branch": uri.ref, "path": uri.path}
