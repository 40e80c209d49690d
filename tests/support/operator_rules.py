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
    name, spec = job["metadata"]["name"], job["spec"]
    cluster = spec.get("rayClusterSpec")
    rules = _job(name, spec) | ({} if cluster is None else _cluster(name, cluster))
    return [rule for rule, broken in rules.items() if broken]


def _job(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    mode, shuts_down = spec.get("submissionMode", "K8sJobMode"), spec.get("shutdownAfterJobFinishes")
    suspended, selected = spec.get("suspend"), spec.get("clusterSelector")
    lifetime, retries = spec.get("ttlSecondsAfterFinished", 0), spec.get("backoffLimit", 0)
    rules = spec.get("deletionStrategy", {}).get("deletionRules")
    not_in_sidecar = spec.keys() & {"submitterPodTemplate", "submitterConfig", "clusterSelector"}
    return {
        f"the name has more than {JOB_NAME} characters": len(name) > JOB_NAME,
        "the name is no DNS-1035 label": not DNS_1035.fullmatch(name),
        "ttlSecondsAfterFinished needs shutdownAfterJobFinishes": lifetime > 0 and not shuts_down,
        "suspend needs shutdownAfterJobFinishes": suspended and not shuts_down,
        "suspend cannot be used with clusterSelector": suspended and selected,
        "deletionRules exclude shutdownAfterJobFinishes and ttlSecondsAfterFinished": rules
        and (shuts_down or lifetime),
        "backoffLimit cannot be used with clusterSelector": retries > 0 and selected,
        "backoffLimit cannot be used in InteractiveMode": retries > 0 and mode == "InteractiveMode",
        f"SidecarMode forbids {', '.join(sorted(not_in_sidecar))}": mode == "SidecarMode" and not_in_sidecar,
        "rayClusterSpec or clusterSelector is needed": not ({"rayClusterSpec", "clusterSelector"} & spec.keys()),
        "runtimeEnvYAML is no mapping": not _is_mapping(spec.get("runtimeEnvYAML", "{}")),
        "submissionMode is unknown": mode not in ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
    }


def _cluster(job: str, cluster: dict[str, Any]) -> dict[str, Any]:
    autoscaling, token = cluster.get("enableInTreeAutoscaling"), cluster.get("authOptions", {}).get("mode") == "token"
    version = tuple(int(part) for part in cluster.get("rayVersion", "0.0").split(".")[:2])
    groups = cluster.get("workerGroupSpecs", [])
    # A random part of five characters and a dash are added to the job's name.
    rules = {
        f"the cluster's name has more than {CLUSTER_NAME} characters": len(job) + 6 > CLUSTER_NAME,
        "authOptions.mode token needs Ray 2.52": token and version < TOKENS_SINCE,
        "autoscalerOptions without enableInTreeAutoscaling": "autoscalerOptions" in cluster and not autoscaling,
        "two groups have one name": len({group["groupName"] for group in groups}) != len(groups),
    }
    for group in [{"groupName": "head", **cluster["headGroupSpec"]}, *groups]:
        rules |= {f"{group['groupName']}: {rule}": broken for rule, broken in _group(group, cluster).items()}
    return rules


def _group(group: dict[str, Any], cluster: dict[str, Any]) -> dict[str, Any]:
    parameters, pod = group.get("rayStartParams", {}), group["template"]["spec"]
    variables = {v["name"] for container in pod["containers"] for v in container.get("env", [])}
    redis = variables & {"REDIS_PASSWORD", "RAY_REDIS_ADDRESS"}
    autoscaling = cluster.get("enableInTreeAutoscaling")
    version_2 = autoscaling and cluster.get("autoscalerOptions", {}).get("version", "v2") == "v2"
    replicas = (group.get("minReplicas", 0), group.get("replicas", 0), group.get("maxReplicas", 2**31 - 1))
    of_workers = {"idleTimeoutSeconds", "priority"} & group.keys() if group["groupName"] != "head" else ()
    return {
        "sizes stand both in rayStartParams and in resources": SIZES & parameters.keys() and group.get("resources"),
        "rayStartParams must be strings": not all(isinstance(v, str) for v in parameters.values()),
        "labels belong to the group, not to rayStartParams": "labels" in parameters,
        "autoscaler v2 needs restartPolicy Never or none": version_2 and pod.get("restartPolicy", "Never") != "Never",
        "Redis variables exclude gcsFaultToleranceOptions": "gcsFaultToleranceOptions" in cluster and redis,
        "minReplicas <= replicas <= maxReplicas does not hold": sorted(replicas) != list(replicas),
        "idleTimeoutSeconds and priority need autoscaling": of_workers and not autoscaling,
    }


def _is_mapping(text: str) -> bool:
    try:
        return isinstance(yaml.safe_load(text), dict)
    except yaml.YAMLError:
        return False
