"""The rules of KubeRay's operator (1.7, validation.go) for the fields of our RayJobs, and other errors of a start."""

import re
from typing import Any

DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
JOB_NAME, CLUSTER_NAME = 47, 53
TOKENS_SINCE = (2, 52)
JOB = {
    *("backoffLimit", "entrypoint", "preRunningDeadlineSeconds", "rayClusterSpec", "shutdownAfterJobFinishes"),
    *("submitterConfig", "submitterPodTemplate", "ttlSecondsAfterFinished"),
}
CLUSTER = {"authOptions", "autoscalerOptions", "enableInTreeAutoscaling", "headGroupSpec", "rayVersion"}
GROUP = {"groupName", "maxReplicas", "minReplicas", "priority", "rayStartParams", "replicas", "template"}
"""Fields to which the rules below are all that apply."""


def violations(job: dict[str, Any]) -> list[str]:
    """The rules that a RayJob violates."""
    name, spec, cluster = job["metadata"]["name"], job["spec"], job["spec"]["rayClusterSpec"]
    groups, autoscaling = cluster.get("workerGroupSpecs", []), cluster.get("enableInTreeAutoscaling")
    version = tuple(int(part) for part in cluster["rayVersion"].split(".")[:2])
    rules = {
        f"the name has more than {JOB_NAME} characters": len(name) > JOB_NAME,
        "the name is no DNS-1035 label": not DNS_1035.fullmatch(name),
        # A random part of five characters and a dash are added to the job's name.
        f"the cluster's name has more than {CLUSTER_NAME} characters": len(name) + 6 > CLUSTER_NAME,
        "ttlSecondsAfterFinished needs shutdownAfterJobFinishes": spec.get("ttlSecondsAfterFinished", 0) > 0
        and not spec.get("shutdownAfterJobFinishes"),
        "authOptions.mode token needs Ray 2.52": "authOptions" in cluster and version < TOKENS_SINCE,
        "autoscalerOptions without enableInTreeAutoscaling": "autoscalerOptions" in cluster and not autoscaling,
        "two groups have one name": len({group["groupName"] for group in groups}) != len(groups),
    }
    unknown = (spec.keys() - JOB) | (cluster.keys() - CLUSTER - {"workerGroupSpecs"})
    for group in [cluster["headGroupSpec"], *groups]:
        parameters, replicas = group["rayStartParams"], [group.get(f, 0) for f in ("minReplicas", "replicas")]
        replicas.append(group.get("maxReplicas", 2**31 - 1))
        restarts = group["template"]["spec"].get("restartPolicy", "Never") != "Never"
        unknown |= (group.keys() - GROUP) | (parameters.keys() & {"labels", "memory", "num-gpus"})
        rules |= {
            f"{group.get('groupName', 'head')}: {rule}": broken
            for rule, broken in {
                "rayStartParams must be strings": not all(isinstance(v, str) for v in parameters.values()),
                "autoscaler v2 needs restartPolicy Never or none": autoscaling and restarts,
                "minReplicas <= replicas <= maxReplicas does not hold": sorted(replicas) != replicas,
                "priority needs autoscaling": "priority" in group and not autoscaling,
            }.items()
        }
    rules[f"no rule is known of {', '.join(sorted(unknown))}"] = bool(unknown)
    return [rule for rule, broken in rules.items() if broken]
