"""Runs a manifest's container as a process on a machine, with its command, arguments and environment.

Differences from a cluster: a mounted folder is a folder of the machine, and `/app` is the checkout.
"""

import re
import subprocess

from support.machines import Machine
from support.manifests import Manifest, all_templates, one, secrets


class ByHand:
    """The pods of an overlay, container by container, on one machine."""

    def __init__(self, overlay: str, machine: Machine):
        """
        Args:
            overlay: the overlay of the manifests.
            machine: the machine for the containers.
        """
        self.overlay, self.machine = overlay, machine
        self.templates = all_templates(overlay)
        places = ("/data", "/tmp", "/scripts", "/identities")  # noqa: S108 -- of the pods
        self.folders = {place: place[1:] for place in places}
        for name in self.folders.values():
            (machine.folder / name).mkdir()
        for name, text in one(overlay, "ConfigMap", "service-scripts")["data"].items():
            (machine.folder / "scripts" / name).write_text(text)
        for name, text in secrets()["s3-server"].items():
            (machine.folder / "identities" / name).write_text(text)

    def container(self, pod: str, name: str) -> Manifest:
        spec = self.templates[pod]["spec"]
        (found,) = [c for c in [*spec.get("initContainers", []), *spec["containers"]] if c["name"] == name]
        return found

    def command(self, pod: str, name: str) -> list[str]:
        container, values = self.container(pod, name), self.variables(pod, name)
        words = [*container.get("command", []), *container.get("args", [])]
        return [re.sub(r"\$\((\w+)\)", lambda match: values[match[1]], self._here(word)) for word in words]

    def variables(self, pod: str, name: str) -> dict[str, str]:
        container = self.container(pod, name)
        values: dict[str, str] = {}
        for source in container.get("envFrom", []):
            ((kind, reference),) = source.items()
            values |= self._data(kind.removesuffix("Ref"), reference["name"])
        for variable in container.get("env", []):
            value = variable.get("value")
            if value is None and "fieldRef" in variable["valueFrom"]:
                value = one(self.overlay, "ConfigMap", "endpoints")["metadata"]["namespace"]
            elif value is None:
                ((kind, reference),) = variable["valueFrom"].items()
                data = self._data(kind.removesuffix("KeyRef"), reference["name"])
                if reference["key"] not in data and reference.get("optional"):
                    continue
                value = data[reference["key"]]
            # As in Kubernetes: variables earlier in the list, or in envFrom.
            values[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda match: values[match[1]], value)
        return {key: self._here(value) for key, value in values.items()}

    def run(self, pod: str, name: str) -> str:
        """Run an init container to its end, and return its output."""
        return self.machine.run(*self.command(pod, name), variables=self.variables(pod, name)).stdout

    def start(self, pod: str, name: str) -> "subprocess.Popen[bytes]":
        """Start a container in the background."""
        return self.machine.start(f"{name}.log", *self.command(pod, name), variables=self.variables(pod, name))

    def _data(self, kind: str, name: str) -> dict[str, str]:
        data: dict[str, str] = secrets()[name] if kind == "secret" else one(self.overlay, "ConfigMap", name)["data"]
        return data

    def _here(self, text: str) -> str:
        places = "|".join(self.folders)
        return re.sub(rf"(?<![\w/])({places})(?=/|$)", lambda m: f"{self.machine.folder}/{self.folders[m[1]]}", text)


def rayjob_spec(overlay: str) -> Manifest:
    return dict(one(overlay, "RayJob", "sweep")["spec"])
