"""Connections and names that must be refused, tried from pods; the network must enforce policies."""

import json

import pytest
from support.real_cluster import NAMESPACE, images, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
STRANGERS = f"{NAMESPACE}-strangers"
HEAD = {"saliency-sweep/role": "ray", "ray.io/node-type": "head", "app.kubernetes.io/name": "kuberay"}
LISTEN = "import http.server as h; h.ThreadingHTTPServer(('', {}), h.SimpleHTTPRequestHandler).serve_forever()"
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5); print('connected')"


class Pods:
    """Pods with the sweep's image in the services' namespace and in one of strangers."""

    def __init__(self, cluster):
        self.cluster = cluster
        (self.image,) = [f"{i['newName']}:{i['newTag']}" for i in images_of(cluster) if i["name"] == "saliency-sweep"]

    def kubectl(self, namespace, *words, **options):
        return self.cluster.run("kubectl", "--namespace", namespace, *words, **options)

    def start(self, name, labels, namespace=NAMESPACE, port=None, user=10001):
        """A pod that listens on `port`; returns its address."""
        context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        if user == 0:
            context = {}
        code = LISTEN.format(port) if port else "import time; time.sleep(3600)"
        container = {"name": "pod", "image": self.image, "command": ["python", "-c", code], "securityContext": context}
        pod = {"runAsUser": user, "runAsNonRoot": user > 0, "seccompProfile": {"type": "RuntimeDefault"}}
        spec = {"containers": [container], "securityContext": pod, "terminationGracePeriodSeconds": 0}
        metadata = {"name": name, "namespace": namespace, "labels": labels | {"attack": "true"}}
        manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        self.kubectl(namespace, "apply", "--filename", "-", text=json.dumps(manifest))
        self.kubectl(namespace, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=180s")
        return self.kubectl(namespace, "get", "pod", name, "--output", "jsonpath={.status.podIP}").stdout

    def python(self, name, code, *arguments, namespace=NAMESPACE):
        return self.kubectl(namespace, "exec", name, "--", "python", "-c", code, *map(str, arguments), check=False)

    def connects(self, name, address, port, namespace=NAMESPACE):
        return "connected" in self.python(name, CONNECT, address, port, namespace=namespace).stdout


def images_of(cluster):
    return cluster.images or images("saliency-sweep=saliency-sweep:0.1.0")


@pytest.fixture(scope="module")
def pods(cluster):
    cluster.install()
    cluster.wait_for_services()
    cluster.run("kubectl", "create", "namespace", STRANGERS)
    yield Pods(cluster)
    cluster.run("kubectl", "delete", "namespace", STRANGERS)
    cluster.kubectl("delete", "pods", "--selector", "attack=true", "--wait=true")


def test_a_label_alone_does_not_reach_the_dashboard(pods):
    head = pods.start("head", HEAD, port=8265)
    pods.start("submitter", {"saliency-sweep/role": "submitter"})
    wait_until(lambda: pods.connects("submitter", head, 8265), "the submitter reaches the dashboard", 60)
    for name in ("kuberay", "kuberay-operator"):
        labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/component": "kuberay-operator"}
        for namespace in (NAMESPACE, STRANGERS):
            pods.start(f"like-{name}", labels, namespace)
            assert not pods.connects(f"like-{name}", head, 8265, namespace), f"{name} in {namespace}"


def test_a_head_reaches_the_kubernetes_api_and_no_other_address_on_443(pods):
    outside = pods.start("outside", {}, STRANGERS, port=443, user=0)
    pods.start("client", {}, STRANGERS)
    wait_until(lambda: pods.connects("client", outside, 443, STRANGERS), "the address answers a stranger", 60)
    pods.start("head", HEAD, port=8265)
    wait_until(lambda: pods.connects("head", "kubernetes.default.svc", 443), "the head reaches the API", 60)
    pods.start("job", {"saliency-sweep/role": "pipeline"})
    wait_until(lambda: pods.connects("job", "mlflow", 5000), "the policies of the pod are in force", 60)
    for name in ("head", "job"):
        assert not pods.connects(name, outside, 443), name
    assert not pods.connects("job", "kubernetes.default.svc", 443)


def test_mlflow_refuses_names_of_other_domains(pods):
    pods.start("head", HEAD, port=8265)
    ask = (
        "import sys, urllib.request as u, urllib.error as e\n"
        "try: print(u.urlopen(u.Request('http://mlflow:5000/', headers={'Host': sys.argv[1]}), timeout=20).status)\n"
        "except e.HTTPError as error: print(error.code)"
    )
    whole = ("mlflow:5000", *(f"mlflow.{NAMESPACE}{rest}:5000" for rest in ("", ".svc", ".svc.cluster.local")))
    others = ("evil.example", *(f"mlflow.{NAMESPACE}.svc{rest}" for rest in (".evil.example:5000", "evil.example")))
    for host in (*whole, "localhost:18000", *others):
        assert pods.python("head", ask, host).stdout.strip() == ("403" if host in others else "401"), host
