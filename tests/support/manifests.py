"""Overlays as kubectl renders them."""

import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from support.commands import ROOT

K8S = ROOT / "k8s"
OVERLAYS = sorted(path.parent.name for path in (K8S / "overlays").glob("*/kustomization.yaml"))

Manifest = dict[str, Any]


@cache
def render(folder: Path) -> str:
    """What `kubectl kustomize` makes of a folder."""
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run([str(kubectl), "kustomize", str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def manifests(overlay: str) -> list[Manifest]:
    return list(yaml.safe_load_all(render(K8S / "overlays" / overlay)))


def one(overlay: str, kind: str, name: str) -> Manifest:
    found = [m for m in manifests(overlay) if m["kind"] == kind and m["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind} {name} in {overlay}: {len(found)}"
    return found[0]


def pod_templates(manifest: Manifest) -> Iterator[tuple[str, Manifest]]:
    """Every pod template in a manifest, with a name."""
    name, spec = manifest["metadata"]["name"], manifest.get("spec", {})
    if manifest["kind"] in ("Deployment", "StatefulSet", "Job"):
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
