import threading

import docker.errors
import pytest
import requests

from slipway.errors import ConfigurationError, PodDeadlineError, PodFailedError, SlipwayError, UnavailableError
from slipway.pods.docker import DockerPod, bytes_of, container_name, container_options, engine
from slipway.pods.manifest import PodManifest
from tests.simulators.docker import EngineSimulator, answer

NAME = container_name("lakefs://flight-delay/train-a/models/a/train", owner="http://lake AK")


def pod(client: EngineSimulator, deadline: float = 30) -> DockerPod:
    container = {"name": "base", "image": "slipway/trainer:0.1.0", "command": ["python", "-m", "slipway.training"]}
    manifest = PodManifest.model_validate(
        {"kind": "Pod", "spec": {"activeDeadlineSeconds": 30, "containers": [container]}}
    )
    # Kubernetes knows whole seconds only; a test need not wait one.
    spec = manifest.spec.model_copy(update={"deadline": deadline})
    return DockerPod(client, manifest.model_copy(update={"spec": spec}), ["--pipeline", "p"], {}, NAME)


def failure(client: EngineSimulator) -> SlipwayError:
    with pytest.raises(SlipwayError) as caught:
        pod(client).run(lambda _: None)
    assert client.containers.remaining == []
    return caught.value


def test_output_is_passed_on_in_whole_lines_however_it_was_cut():
    client = EngineSimulator(log=[b"epoch 1\nep", b"och 2\n", b"", b"\xff end"])
    lines: list[str] = []
    pod(client).run(lines.append)
    assert lines == ["epoch 1", "epoch 2", "\N{REPLACEMENT CHARACTER} end"]


def test_the_container_is_removed_when_it_has_ended():
    client = EngineSimulator()
    pod(client).run(lambda _: None)
    assert len(client.created) == 1
    assert client.containers.remaining == []


@pytest.mark.parametrize(("code", "retryable"), [(1, True), (65, False), (75, True), (137, True)])
def test_the_exit_code_says_whether_a_retry_can_help(code, retryable):
    error = failure(EngineSimulator(exit_code=code, log=[b"bad news\n"]))
    assert isinstance(error, PodFailedError)
    assert f"exit code {code}" in str(error) and "bad news" in str(error)
    assert error.retryable is retryable


def test_a_container_past_its_deadline_is_killed_and_what_it_printed_is_kept():
    client, lines = EngineSimulator(hangs=True, log=[b"epoch 1\n"]), []
    with pytest.raises(PodDeadlineError, match=r"activeDeadlineSeconds=0\.05"):
        pod(client, deadline=0.05).run(lines.append)
    assert lines == ["epoch 1"]
    assert client.containers.remaining == []


def test_stopping_the_task_removes_a_running_container():
    client = EngineSimulator(hangs=True, log=[b"up\n"])
    running = pod(client)
    with pytest.raises(PodFailedError, match="removed while it ran"):
        running.run(lambda _: threading.Timer(0.02, running.kill).start())
    assert client.containers.remaining == []


def test_a_missing_image_is_pulled_once():
    client = EngineSimulator(present=set(), registry={"slipway/trainer:0.1.0"})
    pod(client).run(lambda _: None)
    assert len(client.created) == 1


def test_an_image_nobody_has_is_a_configuration_error():
    error = failure(EngineSimulator(present=set()))
    assert isinstance(error, ConfigurationError)
    assert "slipway/trainer:0.1.0" in str(error)


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (docker.errors.APIError("could not select device driver", response=answer(500)), UnavailableError),
        (docker.errors.APIError("invalid tmpfs option", response=answer(400)), ConfigurationError),
        (requests.exceptions.ConnectionError("connection reset"), UnavailableError),
    ],
)
def test_a_container_that_cannot_be_started_is_removed_and_the_reason_told(refusal, expected):
    error = failure(EngineSimulator(refuses=refusal))
    assert isinstance(error, expected)
    assert str(refusal) in str(error)


def test_a_container_the_engine_is_still_removing_is_waited_for_by_a_retry():
    client = EngineSimulator(removing=True)
    client.containers.create("slipway/trainer:0.1.0", [], name=NAME)
    with pytest.raises(UnavailableError, match="already in progress"):
        pod(client).run(lambda _: None)
    assert len(client.created) == 1


def test_a_name_belongs_to_one_output_of_one_installation():
    output = "lakefs://flight-delay/train-a/models/a/"
    pairs = [(f"{output}train", "lake A"), (f"{output}export", "lake A"), (f"{output}train", "lake B")]
    names = {container_name(path, owner=owner) for path, owner in pairs}
    assert len(names) == 3
    assert container_name(*pairs[0]) in names


@pytest.mark.parametrize(
    ("pod", "container", "user"),
    [
        ({"runAsUser": 2000, "runAsGroup": 3000}, {}, "2000:3000"),
        ({"runAsUser": 2000, "runAsGroup": 3000}, {"runAsUser": 2001}, "2001:3000"),
        ({"runAsUser": 2000}, {}, "2000"),
        ({"runAsGroup": 3000}, {}, "10001:3000"),
        ({"runAsNonRoot": True}, {}, "10001:10001"),
    ],
)
def test_the_container_runs_as_the_manifests_user_and_group(pod, container, user):
    base = {"name": "base", "image": "i", "command": ["a"], "securityContext": container}
    spec = {"activeDeadlineSeconds": 1, "securityContext": pod, "containers": [base]}
    manifest = PodManifest.model_validate({"kind": "Pod", "spec": spec})
    assert container_options(manifest, [], {}, NAME)["user"] == user


def test_an_engine_that_is_not_there_is_unavailable(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(UnavailableError, match="DOCKER_HOST"):
        engine()


@pytest.mark.parametrize(("text", "amount"), [("1Ti", 2**40), ("1T", 10**12), ("3k", 3000), ("1.5Gi", 3 * 2**29)])
def test_every_unit_of_kubernetes_is_read(text, amount):
    assert bytes_of(text) == amount


def test_a_quantity_kubernetes_does_not_know_is_refused():
    with pytest.raises(ConfigurationError, match="8GB"):
        bytes_of("8GB")
