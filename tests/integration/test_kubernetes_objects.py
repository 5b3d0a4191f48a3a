"""What a cluster is given, as far as Kubernetes' own client knows it."""

from __future__ import annotations

import json
from typing import Any

import yaml

from slipway.pods.manifest import load_manifest
from tests.integration.docker_files import DOCKER, ROOT


def kubernetes_objects() -> list[dict[str, Any]]:
    return [part for path in sorted((DOCKER / "k8s").glob("*.yaml")) for part in yaml.safe_load_all(path.read_text())]


def test_kubernetes_accepts_the_objects_as_far_as_its_client_knows_them() -> None:
    from kubernetes import client

    models = {
        "Namespace": "V1Namespace", "ServiceAccount": "V1ServiceAccount", "Role": "V1Role",
        "RoleBinding": "V1RoleBinding", "NetworkPolicy": "V1NetworkPolicy",
    }  # fmt: skip
    api = client.ApiClient()

    class Answer:
        def __init__(self, value: object) -> None:
            self.data = json.dumps(value)

    seen = set()
    for given in kubernetes_objects():
        if given["kind"] == "Kustomization":
            continue
        seen.add(given["kind"])
        understood = api.sanitize_for_serialization(api.deserialize(Answer(given), models[given["kind"]]))
        assert understood == given, f"the client does not know all of {given['kind']} {given['metadata']['name']}"
    assert seen == set(models)


def test_airflow_may_run_pods_on_a_cluster_but_read_no_secrets() -> None:
    (role,) = [part for part in kubernetes_objects() if part["kind"] == "Role"]
    rules = {resource: set(rule["verbs"]) for rule in role["rules"] for resource in rule["resources"]}
    assert rules["pods"] >= {"create", "get", "list", "watch", "delete"}
    assert rules["pods/log"] == {"get"}
    assert not set(rules) & {"secrets", "*", "pods/exec"}


def test_secrets_that_pods_read_are_those_the_cluster_is_given() -> None:
    (kustomization,) = [part for part in kubernetes_objects() if part["kind"] == "Kustomization"]
    made = {entry["name"] for entry in kustomization["secretGenerator"]}
    text = (DOCKER / "k8s" / "kustomization.yaml").read_text()
    for path in sorted((ROOT / "include" / "pods").glob("*.yaml")):
        for variable in load_manifest(path).container.env:
            if variable.value_from is not None:
                assert variable.value_from.secret.name in made
                assert f"{variable.value_from.secret.key}=…" in text
    for entry in kustomization["resources"]:
        assert (DOCKER / "k8s" / entry).is_file()
