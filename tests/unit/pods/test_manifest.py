import pytest
import yaml

from slipway.errors import ConfigurationError
from slipway.pods.docker import bytes_of, container_options, cores_of
from slipway.pods.manifest import load_manifest
from slipway.settings import settings

SECRETS = {
    "slipway-lakefs": {"endpoint": "http://127.0.0.1:1", "access-key": "AK", "secret-key": "SK"},
    "slipway-mlflow": {"tracking-uri": "http://127.0.0.1:2"},
}


@pytest.fixture(params=sorted(path.name for path in settings().manifests.glob("*.yaml")))
def manifest_file(request):
    return settings().manifests / request.param


def test_every_manifest_is_non_root_bounded_in_time_and_drops_all_capabilities(manifest_file):
    raw = yaml.safe_load(manifest_file.read_text())
    container = raw["spec"]["containers"][0]["securityContext"]
    assert load_manifest(manifest_file).spec.deadline > 0
    assert raw["spec"]["securityContext"]["runAsNonRoot"] is True
    assert raw["spec"]["restartPolicy"] == "Never"
    assert raw["spec"]["automountServiceAccountToken"] is False
    assert container["allowPrivilegeEscalation"] is False
    assert container["readOnlyRootFilesystem"] is True
    assert container["capabilities"]["drop"] == ["ALL"]


def test_no_manifest_carries_a_credential(manifest_file):
    for variable in load_manifest(manifest_file).container.env:
        if any(word in variable.name for word in ("KEY", "SECRET", "TOKEN", "PASSWORD")):
            assert variable.value is None


def test_the_training_pod_asks_for_a_gpu_node():
    raw = yaml.safe_load((settings().manifests / "train.yaml").read_text())
    assert raw["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert raw["spec"]["nodeSelector"]
    assert raw["spec"]["tolerations"][0]["key"] == "nvidia.com/gpu"


def test_secrets_become_environment_variables():
    environment = load_manifest(settings().manifests / "train.yaml").environment(SECRETS)
    assert environment["LAKECTL_CREDENTIALS_ACCESS_KEY_ID"] == "AK"
    assert environment["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:2"


def test_a_secret_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(ConfigurationError, match=r"slipway-lakefs/endpoint, which does not exist.*a/b"):
        load_manifest(settings().manifests / "train.yaml").environment({"a": {"b": "c"}})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: Job\nspec: {activeDeadlineSeconds: 1, containers: [{name: base, image: i, command: [a]}]}", "kind"),
        ("kind: Pod\nspec: {containers: [{name: base, image: i, command: [a]}]}", "activeDeadlineSeconds"),
        ("kind: Pod\nspec: {activeDeadlineSeconds: 1, containers: []}", "containers"),
        (
            "kind: Pod\nspec: {activeDeadlineSeconds: 1, containers: [{name: x, image: i, command: [a]}]}",
            "named 'base'",
        ),
        ("kind: [", "not a usable pod manifest"),
    ],
)
def test_a_manifest_that_lacks_what_every_runtime_needs_is_refused(tmp_path, text, says):
    path = tmp_path / "pod.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=says):
        load_manifest(path)


@pytest.mark.parametrize(("text", "amount"), [("512Mi", 2**29), ("8Gi", 2**33), ("1000", 1000), ("2G", 2 * 10**9)])
def test_memory_quantities_are_read_as_kubernetes_reads_them(text, amount):
    assert bytes_of(text) == amount


@pytest.mark.parametrize(("text", "cores"), [("500m", 0.5), ("2", 2.0), (3, 3.0)])
def test_cpu_quantities_are_read_as_kubernetes_reads_them(text, cores):
    assert cores_of(text) == cores


def test_docker_gets_the_gpu_the_limits_and_no_privileges():
    options = container_options(load_manifest(settings().manifests / "train.yaml"), ["--pipeline", "p"], SECRETS, "n")
    assert options["device_requests"][0]["Count"] == 1
    assert options["mem_limit"] == 8 * 2**30
    assert options["nano_cpus"] == 4_000_000_000
    assert options["entrypoint"] == ["python", "-m", "slipway.training"]
    assert options["command"] == ["--pipeline", "p"]
    assert options["cap_drop"] == ["ALL"] and options["user"] == "10001:10001"
