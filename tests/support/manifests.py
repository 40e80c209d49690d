"""Services and sweeps as kubectl renders them, and the secrets that `k8s/install` makes."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from support.commands import PATIENCE, ROOT

K8S = ROOT / "k8s"
KUBECTL = Path(sys.executable).with_name("kubectl")
SWEEPS = sorted(path.parent.name for path in (K8S / "sweeps").glob("*/kustomization.yaml"))
OVERLAYS = [name for name in SWEEPS if name not in ("base", "queued", "scheduled")]
"""Sweeps that can be applied as they are."""

Manifest = dict[str, Any]

NOTHING_THERE = """
# A cluster in which nothing is: what is created is kept, what is rendered is rendered.
case "$*" in
  *create*|*"--filename -") cat >> "$KEPT"; echo --- >> "$KEPT" ;;
  *"get service kubernetes"*) echo "443 10.96.0.1" ;;
  *"get endpointslices"*) echo "6443 10.99.0.1 fd00::1" ;;
  *kustomize*) case "$1" in kustomize) exec "$KUBECTL" "$@" ;; esac ;;
  *" get "*|get*) exit 1 ;;
esac
"""


def gibibytes(quantity: str) -> float:
    """A Kubernetes amount of memory in Mi or Gi."""
    return float(quantity[:-2]) / {"Mi": 1024, "Gi": 1}[quantity[-2:]]


def constrained(package: str) -> str:
    """The release of a package in constraints.txt."""
    line = re.search(rf"^{package}==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert line, f"{package} is not in constraints.txt: run `make constraints`"
    return line[1]


@cache
def render(folder: Path) -> str:
    """What `kubectl kustomize` makes of a folder."""
    done = subprocess.run([str(KUBECTL), "kustomize", str(folder)], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def kustomization(folder: Path, resource: str, components: Sequence[str] = (), **parts: Any) -> Path:
    """A user's own folder on one of k8s/: `resource` and `components` are folders of k8s/."""
    folder.mkdir(exist_ok=True)
    there = {"resources": [resource], "components": components}
    paths = {key: [os.path.relpath(K8S / name, folder) for name in names] for key, names in there.items()}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(paths | parts))
    return folder


@cache
def services_with_backup(namespace: str = "saliency-sweep") -> str:
    """The services with the component `backup`, rendered."""
    with tempfile.TemporaryDirectory() as folder:
        return render(kustomization(Path(folder), "services/embedded", ["backup"], namespace=namespace))


def manifests(overlay: str) -> list[Manifest]:
    """All that `k8s/install` applies, with backups, and one sweep."""
    texts = [(K8S / "services" / name).read_text() for name in ("priorities.yaml", "admission.yaml")]
    texts += [services_with_backup(), render(K8S / "sweeps" / overlay)]
    made = [manifest for manifest in made_by_install() if manifest["kind"] != "Secret"]
    return made + [m for text in texts for m in yaml.safe_load_all(text)]


def run_with(
    folder: Path, stand_ins: dict[str, str], *command: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command with shell scripts in `folder` in place of the programs with their names."""
    for name, text in stand_ins.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)


@cache
def made_by_install(services: str = "embedded") -> list[Manifest]:
    """What `k8s/install` itself writes for an empty cluster: the namespace, the secrets and the way to the API."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "kept"
        command, variables = (str(K8S / "install"), str(K8S / "services" / services)), {"KUBECTL": str(KUBECTL)}
        run_with(Path(folder), {"kubectl": NOTHING_THERE}, *command, KEPT=str(kept), **variables).check_returncode()
        return [manifest for manifest in yaml.safe_load_all(kept.read_text()) if manifest]


def secrets(services: str = "embedded") -> dict[str, dict[str, str]]:
    """The secrets that `k8s/install` makes where there are none, by name; other values at each run of the tests."""
    made = [manifest for manifest in made_by_install(services) if manifest["kind"] == "Secret"]
    return {secret["metadata"]["name"]: secret["stringData"] for secret in made}


def one(overlay: str, kind: str, name: str) -> Manifest:
    (manifest,) = (m for m in manifests(overlay) if m["kind"] == kind and m["metadata"]["name"] == name)
    return manifest


def pod_templates(manifest: Manifest) -> Iterator[tuple[str, Manifest]]:
    """Every pod template in a manifest, with a name."""
    name, spec = manifest["metadata"]["name"], manifest.get("spec", {})
    if manifest["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    if manifest["kind"] in ("Deployment", "StatefulSet", "CronJob"):
        yield f"{manifest['kind']}/{name}", spec["template"]
    if manifest["kind"] == "RayJob":
        cluster = spec["rayClusterSpec"]
        yield f"{name}/submitter", spec["submitterPodTemplate"]
        yield f"{name}/head", cluster["headGroupSpec"]["template"]
        for group in cluster["workerGroupSpecs"]:
            yield f"{name}/{group['groupName']}", group["template"]


def containers(template: Manifest) -> list[Manifest]:
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


def all_templates(overlay: str) -> dict[str, Manifest]:
    return {name: template for manifest in manifests(overlay) for name, template in pod_templates(manifest)}
