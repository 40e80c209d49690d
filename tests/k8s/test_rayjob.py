"""The RayJob is valid for the operator, for Ray's autoscaler, and for sweep.py."""

import copy
import re
import shlex

import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from support.commands import ROOT, run_sweep
from support.manifests import K8S, OVERLAYS, constrained, gibibytes, kustomization, one, render
from support.operator_rules import violations


def rayjob(overlay):
    return one(overlay, "RayJob", "sweep")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_operator_accepts_the_sweep(overlay):
    assert violations(rayjob(overlay)) == []


def test_a_schedule_contains_the_whole_sweep(tmp_path):
    """Also for a renamed sweep, as in k8s/README.md."""
    mine = kustomization(tmp_path / "mine", "sweeps/cpu", nameSuffix="-nightly")
    (cron,) = yaml.safe_load_all(render(kustomization(tmp_path / "nightly", str(mine), ["sweeps/scheduled"])))
    assert (cron["kind"], cron["metadata"]["name"]) == ("RayCronJob", "sweep-nightly")
    assert cron["spec"].pop("jobTemplate") == rayjob("cpu")["spec"]
    # The fields of raycronjob_types.go, KubeRay 1.7.
    assert cron["spec"].keys() <= {"schedule", "timeZone", "suspend"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_trial_runs_on_the_head(overlay):
    cluster = copy.deepcopy(rayjob(overlay)["spec"]["rayClusterSpec"])
    custom_resource = {"metadata": {"name": "sweep-abcde", "namespace": "saliency-sweep"}, "spec": cluster}
    types = _derive_autoscaling_config_from_ray_cr(custom_resource)["available_node_types"]
    assert types["headgroup"]["resources"]["CPU"] == 0
    for name, kind in types.items():
        assert name == "headgroup" or kind["resources"]["CPU"] >= 2


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_use_one_version_of_ray(overlay):
    pinned = constrained("ray")
    assert rayjob(overlay)["spec"]["rayClusterSpec"]["rayVersion"] == pinned
    assert f"rayproject/ray:{pinned}-" in (ROOT / "cluster" / "gpu.yaml").read_text()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_workers_have_memory_for_a_trial_on_each_processor(overlay):
    """According to the numbers in k8s/README.md."""
    page = (K8S / "README.md").read_text()
    trial, ray = re.search(r"one trial per processor: (\S+) GiB each, and (\S+) GiB for Ray", page).groups()
    for group in rayjob(overlay)["spec"]["rayClusterSpec"]["workerGroupSpecs"]:
        (container,) = group["template"]["spec"]["containers"]
        limits = container["resources"]["limits"]
        assert gibibytes(limits["memory"]) >= float(limits["cpu"]) * float(trial) + float(ray), group["groupName"]


@pytest.mark.slow
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_entrypoint_is_a_valid_command(overlay, tmp_path):
    shell, script, *arguments = shlex.split(rayjob(overlay)["spec"]["entrypoint"])
    assert (shell, script) == ("sh", "/app/k8s/run_sweep.sh")
    ran = run_sweep(tmp_path, *arguments, "--dry-run")
    assert ran.code == 0, ran.err
