"""The RayJob by the operator's rules, by Ray's own reading of a RayCluster, and by sweep.py."""

import copy
import os
import re
import shlex

import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from support.commands import ROOT, run_sweep
from support.manifests import K8S, OVERLAYS, constrained, gibibytes, one, render
from support.operator_rules import violations


def rayjob(overlay):
    return one(overlay, "RayJob", "sweep")


def test_there_are_two_sweeps():
    assert OVERLAYS == ["cpu", "gpu"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_operator_accepts_it(overlay):
    assert violations(rayjob(overlay)) == []


def put(job, path, value):
    *folders, last = path.split("/")
    for name in folders:
        job = job[int(name)] if isinstance(job, list) else job[name]
    job[last] = value


def test_a_schedule_holds_the_whole_sweep(tmp_path):
    """Also one with a name of its own, as k8s/README.md tells users to make it."""
    mine = {"resources": [os.path.relpath(K8S / "sweeps/cpu", tmp_path / "mine")], "nameSuffix": "-nightly"}
    component = os.path.relpath(K8S / "sweeps/scheduled", tmp_path / "nightly")
    for name, text in {"mine": mine, "nightly": {"resources": ["../mine"], "components": [component]}}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "kustomization.yaml").write_text(yaml.safe_dump(text))
    (cron,) = yaml.safe_load_all(render(tmp_path / "nightly"))
    assert (cron["kind"], cron["metadata"]["name"]) == ("RayCronJob", "sweep-nightly")
    assert cron["spec"].pop("jobTemplate") == rayjob("cpu")["spec"]
    # The fields of raycronjob_types.go, KubeRay 1.7.
    assert cron["spec"].keys() <= {"schedule", "timeZone", "suspend"}


MISTAKES = {
    "the name has more than": ("metadata/name", "s" * 48),
    "the name is no DNS-1035": ("metadata/name", "9sweep"),
    "the cluster's name has more": ("metadata/name", "s" * 48),
    "ttlSecondsAfterFinished needs": ("spec/shutdownAfterJobFinishes", False),
    "deletionRules exclude": ("spec/deletionStrategy", {"deletionRules": [{"policy": "DeleteCluster"}]}),
    "backoffLimit cannot be used with clusterSelector": ("spec/clusterSelector", {"a": "b"}),
    "InteractiveMode": ("spec/submissionMode", "InteractiveMode"),
    "SidecarMode forbids": ("spec/submissionMode", "SidecarMode"),
    "submissionMode is unknown": ("spec/submissionMode", "PodMode"),
    "runtimeEnvYAML is no mapping": ("spec/runtimeEnvYAML", "- a: [b"),
    "token needs Ray 2.52": ("spec/rayClusterSpec/rayVersion", "2.51.0"),
    "autoscalerOptions without": ("spec/rayClusterSpec/enableInTreeAutoscaling", False),
    "head: sizes stand both": ("spec/rayClusterSpec/headGroupSpec/resources", {"CPU": "1"}),
    "rayStartParams must be strings": ("spec/rayClusterSpec/headGroupSpec/rayStartParams/num-cpus", 0),
    "gpu-spot: labels belong": ("spec/rayClusterSpec/workerGroupSpecs/0/rayStartParams/labels", "a=b"),
    "gpu-spot: autoscaler v2 needs": ("spec/rayClusterSpec/workerGroupSpecs/0/template/spec/restartPolicy", "Always"),
    "gpu-spot: minReplicas <= replicas": ("spec/rayClusterSpec/workerGroupSpecs/0/replicas", 99),
}


@pytest.mark.parametrize("rule", sorted(MISTAKES))
def test_it_refuses_mistakes(rule):
    job = copy.deepcopy(rayjob("gpu"))
    job["spec"]["backoffLimit"] = 1
    put(job, *MISTAKES[rule])
    assert any(rule in found for found in violations(job)), violations(job)


def test_suspended_without_shutdown_is_refused():
    job = copy.deepcopy(rayjob("gpu"))
    job["spec"] |= {"suspend": True, "shutdownAfterJobFinishes": False}
    assert "suspend needs shutdownAfterJobFinishes" in violations(job)


def autoscaling(overlay):
    """What Ray's autoscaler makes of the cluster."""
    cluster = copy.deepcopy(rayjob(overlay)["spec"]["rayClusterSpec"])
    custom_resource = {"metadata": {"name": "sweep-abcde", "namespace": "saliency-sweep"}, "spec": cluster}
    return _derive_autoscaling_config_from_ray_cr(custom_resource)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_ray_reads_it_and_no_trial_lands_on_the_head(overlay):
    types = autoscaling(overlay)["available_node_types"]
    assert types["headgroup"]["resources"]["CPU"] == 0
    for name, kind in types.items():
        assert name == "headgroup" or kind["resources"]["CPU"] >= 2


def test_gpus_are_asked_for_as_trials_wait_spot_ones_first():
    config = autoscaling("gpu")
    types = config["available_node_types"]
    assert {name: (kind["min_workers"], kind["max_workers"]) for name, kind in types.items()} == {
        "headgroup": (0, 0),
        "gpu-spot": (0, 8),
        "gpu-demand": (0, 2),
    }
    assert types["gpu-spot"]["resources"]["GPU"] == types["gpu-demand"]["resources"]["GPU"] == 1
    assert types["gpu-spot"]["priority"] > types["gpu-demand"]["priority"]
    assert config["idle_timeout_minutes"] == 5


def test_gpu_pods_go_to_gpu_nodes():
    for group in rayjob("gpu")["spec"]["rayClusterSpec"]["workerGroupSpecs"]:
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
        assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]
        assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod["tolerations"]
        assert pod["nodeSelector"] == {
            "karpenter.sh/capacity-type": group["groupName"].replace("gpu-", "").replace("demand", "on-demand")
        }
        assert container["image"] == "saliency-sweep:0.1.0-cuda"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_tried_again_and_what_is_not(overlay):
    """KubeRay 1.7's controller: backoffLimit makes a new cluster for any failure; the submitter's finds a new head."""
    spec = rayjob(overlay)["spec"]
    assert spec["backoffLimit"] == 0
    assert spec["submitterConfig"]["backoffLimit"] >= 10
    assert spec["preRunningDeadlineSeconds"] >= 1800


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_one_version_of_ray(overlay):
    pinned = constrained("ray")
    assert rayjob(overlay)["spec"]["rayClusterSpec"]["rayVersion"] == pinned
    assert f"rayproject/ray:{pinned}-" in (ROOT / "cluster" / "gpu.yaml").read_text()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_cluster_goes_when_the_page_says_so(overlay):
    assert rayjob(overlay)["spec"]["shutdownAfterJobFinishes"]
    assert rayjob(overlay)["spec"]["ttlSecondsAfterFinished"] == 60
    assert "takes the cluster away a minute after the end" in (K8S / "README.md").read_text()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_workers_have_memory_for_a_trial_on_each_processor(overlay):
    """By the figures that k8s/README.md gives."""
    page = (K8S / "README.md").read_text()
    trial, ray = re.search(r"one trial to a processor: (\S+) GiB each, and (\S+) GiB for Ray", page).groups()
    for group in rayjob(overlay)["spec"]["rayClusterSpec"]["workerGroupSpecs"]:
        (container,) = group["template"]["spec"]["containers"]
        limits = container["resources"]["limits"]
        assert gibibytes(limits["memory"]) >= float(limits["cpu"]) * float(trial) + float(ray), group["groupName"]


@pytest.mark.slow
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_sweep_py_understands_its_arguments(overlay, tmp_path):
    shell, script, *arguments = shlex.split(rayjob(overlay)["spec"]["entrypoint"])
    assert (shell, script) == ("sh", "/app/k8s/run_sweep.sh")
    ran = run_sweep(tmp_path, *arguments, "--dry-run")
    assert ran.code == 0, ran.err
