"""The connections that the NetworkPolicies allow, evaluated as Kubernetes defines them."""

from ipaddress import ip_address, ip_network

import pytest
import yaml
from support.manifests import K8S, OVERLAYS, manifests, render

OURS, OPERATOR, MONITORING, OTHER = "saliency-sweep", "kuberay-operator", "monitoring", "default"


def pod(role, namespace=OURS, **labels):
    return {"namespace": namespace, "labels": {"saliency-sweep/role": role, **labels}}


# Its label, as installed by its Helm chart and by its kustomization.
OPERATOR_PODS = [
    {"namespace": OPERATOR, "labels": {"app.kubernetes.io/name": name}} for name in ("kuberay-operator", "kuberay")
]
DNS = {"namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}}
PROMETHEUS = {"namespace": MONITORING, "labels": {"app": "prometheus"}}
OUTSIDE = {"namespace": None, "labels": {}, "address": "203.0.113.7"}
API = {"namespace": None, "labels": {}, "address": "10.99.0.1"}
API_SERVICE = API | {"address": "10.96.0.1"}
STRANGER = {"namespace": OTHER, "labels": {"saliency-sweep/role": "ray"}}
# KubeRay gives its own label to the pods of all Ray clusters.
LABELLED = [
    {"namespace": OTHER, "labels": OPERATOR_PODS[1]["labels"]},
    {"namespace": OURS, "labels": OPERATOR_PODS[1]["labels"]},
    {"namespace": OPERATOR, "labels": OPERATOR_PODS[1]["labels"] | {"ray.io/node-type": "worker"}},
]
LABELS = {OPERATOR: {"saliency-sweep/operator": "allowed"}}
"""Of namespaces, besides their names."""


def matches(selector, labels):
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] in ("In", "DoesNotExist")
        if labels.get(expression["key"]) not in expression.get("values", [None]):
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()


def peer_matches(peer, other):
    if "ipBlock" in peer:
        return "address" in other and ip_address(other["address"]) in ip_network(peer["ipBlock"]["cidr"])
    if "namespaceSelector" in peer:
        space = {"kubernetes.io/metadata.name": other["namespace"], **LABELS.get(other["namespace"], {})}
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
    (HEAD, API_SERVICE, 443),
    (HEAD, API, 6443),
    (pod("submitter"), HEAD, 8265),
    *((operator, HEAD, 8265) for operator in OPERATOR_PODS),
    (PROMETHEUS, WORKER, 8080),
    (pod("pipeline"), pod("s3"), 8333),
    (pod("pipeline"), OUTSIDE, 443),  # The component `backup`.
    *((pod(role), DNS, 53) for role in ("ray", "mlflow", "submitter", "s3", "postgres")),
]
FORBIDDEN = [
    *((HEAD, OUTSIDE, port) for port in (443, 6443)),
    (HEAD, API, 443),
    (pod("pipeline"), OUTSIDE, 6443),
    (pod("pipeline"), API, 6443),
    (WORKER, API, 6443),
    *((labelled, HEAD, 8265) for labelled in LABELLED),
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


@pytest.mark.slow
def test_port_443_is_open_only_with_external_buckets_or_backups():
    for services, opened in (("embedded", set()), ("external", {"ray", "mlflow", "pipeline"})):
        policies = [m for m in yaml.safe_load_all(render(K8S / "services" / services)) if m["kind"] == "NetworkPolicy"]
        roles = ("ray", "mlflow", "pipeline", "submitter", "s3", "postgres")
        assert {role for role in roles if side_allows(policies, "Egress", pod(role), OUTSIDE, 443)} == opened
