"""The connections that the NetworkPolicies allow, evaluated as Kubernetes defines them."""

import pytest
from support.manifests import OVERLAYS, manifests

OURS, OPERATOR, MONITORING, OTHER = "saliency-sweep", "kuberay-operator", "monitoring", "default"


def pod(role, namespace=OURS, **labels):
    return {"namespace": namespace, "labels": {"saliency-sweep/role": role, **labels}}


# Its label, as installed by its Helm chart and by its kustomization.
OPERATOR_PODS = [
    {"namespace": OPERATOR, "labels": {"app.kubernetes.io/name": name}} for name in ("kuberay-operator", "kuberay")
]
DNS = {"namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}}
PROMETHEUS = {"namespace": MONITORING, "labels": {"app": "prometheus"}}
OUTSIDE = {"namespace": None, "labels": {}}
STRANGER = {"namespace": OTHER, "labels": {"saliency-sweep/role": "ray"}}


def matches(selector, labels):
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()


def peer_matches(peer, other):
    if "namespaceSelector" in peer:
        space = {"kubernetes.io/metadata.name": other["namespace"]}
        if other["namespace"] is None or not matches(peer["namespaceSelector"], space):
            return False
    elif other["namespace"] != OURS:
        return False
    return matches(peer.get("podSelector", {}), other["labels"])


def side_allows(policies, direction, subject, other, port):
    """Whether `subject`'s side allows the connection; pods of other namespaces are not ours to restrict."""
    if subject["namespace"] != OURS:
        return True
    specs = [p["spec"] for p in policies if direction in p["spec"]["policyTypes"]]
    specs = [spec for spec in specs if matches(spec["podSelector"], subject["labels"])]
    peers = "from" if direction == "Ingress" else "to"
    return not specs or any(
        (peers not in rule or any(peer_matches(peer, other) for peer in rule[peers]))
        and ("ports" not in rule or any(p["port"] == port for p in rule["ports"]))
        for spec in specs
        for rule in spec.get(direction.lower(), [])
    )


HEAD = pod("ray", **{"ray.io/node-type": "head"})
WORKER = pod("ray", **{"ray.io/node-type": "worker"})
NEEDED = [
    (pod("mlflow"), pod("postgres"), 5432),
    (pod("mlflow"), pod("s3"), 8333),
    (HEAD, pod("s3"), 8333),
    (WORKER, pod("s3"), 8333),
    (HEAD, pod("mlflow"), 5000),
    (WORKER, HEAD, 6379),
    (HEAD, WORKER, 43210),
    (HEAD, OUTSIDE, 443),
    (pod("submitter"), HEAD, 8265),
    *((operator, HEAD, 8265) for operator in OPERATOR_PODS),
    (PROMETHEUS, WORKER, 8080),
    (pod("pipeline"), pod("s3"), 8333),
    *((pod(role), DNS, 53) for role in ("ray", "mlflow", "submitter", "s3", "postgres")),
]
FORBIDDEN = [
    (WORKER, pod("mlflow"), 5000),
    (WORKER, pod("postgres"), 5432),
    (WORKER, OUTSIDE, 443),
    (WORKER, OUTSIDE, 6443),
    (pod("submitter"), pod("s3"), 8333),
    (pod("submitter"), HEAD, 6379),
    (pod("s3"), OUTSIDE, 443),
    (pod("postgres"), OUTSIDE, 443),
    (pod("mlflow"), HEAD, 8265),
    (pod("mlflow"), OUTSIDE, 443),
    (WORKER, pod("s3"), 9333),
    (STRANGER, HEAD, 8265),
    (STRANGER, pod("s3"), 8333),
    (STRANGER, pod("mlflow"), 5000),
    (PROMETHEUS, HEAD, 8265),
    (pod("unknown"), HEAD, 8265),
]


@pytest.mark.slow
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_needed_connections_are_allowed(overlay):
    policies = [m for m in manifests(overlay) if m["kind"] == "NetworkPolicy"]
    for source, target, port in (*NEEDED, *FORBIDDEN):
        leaves = side_allows(policies, "Egress", source, target, port)
        arrives = side_allows(policies, "Ingress", target, source, port)
        needed = (source, target, port) in NEEDED
        assert (leaves and arrives) == needed, f"{source} to {target} on {port}: needed is {needed}"
