"""The rules of KubeRay's operator (1.7, validation.go) for RayJobs, and other errors that prevent a start."""

import re
from typing import Any

import yaml

DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
JOB_NAME, CLUSTER_NAME = 47, 53
TOKENS_SINCE = (2, 52)
SIZES = {"num-cpus", "num-gpus", "memory"}


def violations(job: dict[str, Any]) -> list[str]:
    """The rules that a RayJob violates."""
    return [*_job(job), *_cluster(job["metadata"]["name"], job["spec"].get("rayClusterSpec"))]


def _job(job: dict[str, Any]) -> list[str]:
    name, spec = job["metadata"]["name"], job["spec"]
    mode = spec.get("submissionMode", "K8sJobMode")
    rules = {
        f"the name has more than {JOB_NAME} characters": len(name) > JOB_NAME,
        "the name is no DNS-1035 label": not DNS_1035.fullmatch(name),
        "ttlSecondsAfterFinished needs shutdownAfterJobFinishes": spec.get("ttlSecondsAfterFinished", 0) > 0
        and not spec.get("shutdownAfterJobFinishes"),
        "suspend needs shutdownAfterJobFinishes": spec.get("suspend") and not spec.get("shutdownAfterJobFinishes"),
        "suspend cannot be used with clusterSelector": spec.get("suspend") and spec.get("clusterSelector"),
        "deletionRules exclude shutdownAfterJobFinishes and ttlSecondsAfterFinished": spec.get(
            "deletionStrategy", {}
        ).get("deletionRules")
        and (spec.get("shutdownAfterJobFinishes") or spec.get("ttlSecondsAfterFinished")),
        "backoffLimit cannot be used with clusterSelector": spec.get("backoffLimit", 0) > 0
        and spec.get("clusterSelector"),
        "backoffLimit cannot be used in InteractiveMode": spec.get("backoffLimit", 0) > 0 and mode == "InteractiveMode",
        "SidecarMode forbids submitterPodTemplate, submitterConfig and clusterSelector": mode == "SidecarMode"
        and ({"submitterPodTemplate", "submitterConfig", "clusterSelector"} & spec.keys()),
        "rayClusterSpec or clusterSelector is needed": not ({"rayClusterSpec", "clusterSelector"} & spec.keys()),
        "runtimeEnvYAML is no mapping": not _is_mapping(spec.get("runtimeEnvYAML", "{}")),
        "submissionMode is unknown": mode not in ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
    }
    return [rule for rule, broken in rules.items() if broken]


def _cluster(job: str, cluster: dict[str, Any] | None) -> list[str]:
    if cluster is None:
        return []
    autoscaling = cluster.get("enableInTreeAutoscaling", False)
    # A random part of five characters and a dash are added to the job's name.
    rules = {
        f"the cluster's name has more than {CLUSTER_NAME} characters": len(job) + 6 > CLUSTER_NAME,
        "authOptions.mode token needs Ray 2.52": cluster.get("authOptions", {}).get("mode") == "token"
        and _version(cluster.get("rayVersion", "0.0")) < TOKENS_SINCE,
        "autoscalerOptions without enableInTreeAutoscaling": "autoscalerOptions" in cluster and not autoscaling,
    }
    groups = cluster.get("workerGroupSpecs", [])
    names = [group["groupName"] for group in groups]
    rules["two groups have one name"] = len(set(names)) != len(names)
    for group in [{"groupName": "head", **cluster["headGroupSpec"]}, *groups]:
        rules |= {f"{group['groupName']}: {rule}": broken for rule, broken in _group(group, cluster).items()}
    return [rule for rule, broken in rules.items() if broken]


def _group(group: dict[str, Any], cluster: dict[str, Any]) -> dict[str, Any]:
    parameters, pod = group.get("rayStartParams", {}), group["template"]["spec"]
    variables = {v["name"] for container in pod["containers"] for v in container.get("env", [])}
    version_2 = cluster.get("autoscalerOptions", {}).get("version", "v2") == "v2"
    rules = {
        "sizes stand both in rayStartParams and in resources": SIZES & parameters.keys() and group.get("resources"),
        "rayStartParams must be strings": not all(isinstance(v, str) for v in parameters.values()),
        "labels belong to the group, not to rayStartParams": "labels" in parameters,
        "autoscaler v2 needs restartPolicy Never or none": cluster.get("enableInTreeAutoscaling")
        and version_2
        and pod.get("restartPolicy", "Never") != "Never",
        "Redis variables cannot be used with gcsFaultToleranceOptions": "gcsFaultToleranceOptions" in cluster
        and variables & {"REDIS_PASSWORD", "RAY_REDIS_ADDRESS"},
    }
    if group["groupName"] != "head":
        least, most, now = (group.get(key, default) for key, default in _REPLICAS)
        rules |= {
            "minReplicas <= replicas <= maxReplicas does not hold": not least <= now <= most,
            "idleTimeoutSeconds and priority need autoscaling": {"idleTimeoutSeconds", "priority"} & group.keys()
            and not cluster.get("enableInTreeAutoscaling"),
        }
    return rules


_REPLICAS = (("minReplicas", 0), ("maxReplicas", 2**31 - 1), ("replicas", 0))


def _is_mapping(text: str) -> bool:
    try:
        return isinstance(yaml.safe_load(text), dict)
    except yaml.YAMLError:
        return False


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2])
