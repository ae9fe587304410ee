"""The files of deploy/ray, as far as they can be checked without a cloud."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.deploy.host import ROOT
from turbostream.settings import Settings

FOLDER = ROOT / "deploy/ray"
PINNED = (ROOT / "requirements-cluster.txt").read_text().partition("ray==")[2].strip()


@pytest.fixture
def manifests() -> dict[str, Any]:
    documents = yaml.safe_load_all((FOLDER / "kuberay.yaml").read_text())
    return {document["kind"]: document for document in documents}


@pytest.mark.parametrize("name", ["aws", "local"])
def test_a_cluster_file_is_valid_for_the_pinned_ray(name: str) -> None:
    config = prepare_config(yaml.safe_load((FOLDER / f"{name}.yaml").read_text()))
    validate_config(config)
    for role in ("head", "worker"):
        begin = config[f"{role}_start_ray_commands"][-1]
        assert begin.startswith("~/turbostream/.venv/bin/ray start ")


def test_the_manifest_is_for_the_pinned_ray_and_its_server_is_reached(
    manifests: dict[str, Any],
) -> None:
    spec = manifests["RayCluster"]["spec"]
    assert spec["rayVersion"] == PINNED
    service = manifests["Service"]["spec"]
    labels = spec["headGroupSpec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()
    _, server = spec["headGroupSpec"]["template"]["spec"]["containers"]
    assert service["ports"][0]["targetPort"] == server["ports"][0]["name"]


def test_the_manifest_gives_the_server_settings_that_exist(manifests: dict[str, Any]) -> None:
    template = manifests["RayCluster"]["spec"]["headGroupSpec"]["template"]
    _, server = template["spec"]["containers"]
    given = {entry["name"].lower(): entry["value"] for entry in server["env"]}
    assert given.keys() <= {field.name for field in fields(Settings)}
    assert given["engine"] == "ray"
