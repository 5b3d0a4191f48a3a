"""A worker killed while its pod ran on a Docker engine left the container, and its retry started a second beside it."""

from slipway.pods.docker import DockerPod
from slipway.pods.manifest import load_manifest
from slipway.settings import settings
from tests.simulators.docker import EngineSimulator

SECRETS = {
    "slipway-lakefs": {"endpoint": "http://127.0.0.1:1", "access-key": "AK", "secret-key": "SK"},
    "slipway-mlflow": {"tracking-uri": "http://127.0.0.1:2"},
}


def test_the_container_a_killed_worker_left_is_removed_before_the_retry_starts_its_own():
    at_work = []
    client = EngineSimulator(work=lambda options: at_work.extend(client.containers.remaining))
    pod = DockerPod(client, load_manifest(settings().manifests / "train.yaml"), [], SECRETS, "slipway-ab")
    left = client.containers.create("slipway/trainer:0.1.0", [], name="slipway-ab")
    left.start()
    pod.run(lambda _: None)
    assert len(at_work) == 1 and left not in at_work
    assert client.containers.remaining == []
