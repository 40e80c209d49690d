"""A real Kubernetes cluster, given by KUBECONFIG: the services, sweeps on it, and checks of their results."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import yaml
from mlflow import MlflowClient

from support.commands import ROOT
from support.manifests import kustomization
from support.services import free_ports

NAMESPACE = os.environ.get("NAMESPACE", "saliency-sweep")
PATIENCE = 900.0
"""Default time limit of a sweep, in seconds."""
TRIALS = 12
SHORT = (
    *("--space", "own_data", "--dataset", "synthetic", "--max-trials", str(TRIALS)),
    *("--set", "n_train=256", "--set", "n_valid=32", "--set", "n_test=64", "--set", "epochs=30"),
    *("--set", "attribution_images=8", "--set", "integrated_gradients_steps=4", "--set", "severity=1"),
)
"""Options of sweep.py for a dozen trials of a few seconds each."""


def few_processors(kind: str, *containers: str) -> dict[str, Any]:
    """A patch of the services, so that two processors are enough for several installations."""
    paths = [f"/spec/template/spec/{container}/resources/requests/cpu" for container in containers]
    operations = [{"op": "replace", "path": path, "value": "20m"} for path in paths]
    return {"target": {"kind": kind}, "patch": yaml.safe_dump(operations)}


FEW_PROCESSORS = [
    few_processors("StatefulSet", "containers/0"),
    few_processors("Deployment", "containers/0", "initContainers/0", "initContainers/1"),
]
SMALL = (("headGroupSpec", "50m", "1", "2560Mi"), ("workerGroupSpecs/0", "50m", "2", "2Gi"))
"""CPU requests of head and workers, small enough for two sweeps on two processors; and limits, which Ray reads."""


def images(words: str) -> list[dict[str, str]]:
    """Convert `name=registry/name:tag …` to kustomize's list of replaced images."""
    found = []
    for word in words.split():
        name, _, new = word.partition("=")
        new_name, _, tag = new.rpartition(":")
        if not new_name or "/" in tag:
            raise ValueError(f"IMAGES: {word!r} is no NAME=NEW_NAME:TAG")
        found.append({"name": name, "newName": new_name, "newTag": tag})
    return found


def wait_until(done: Callable[[], Any], what: str, seconds: float = PATIENCE, every: float = 2.0) -> Any:
    """Return the first true result of `done`; fail with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        if result := done():
            return result
        assert time.monotonic() < deadline, f"not in {seconds:g} s: {what}"
        time.sleep(every)


class Cluster:
    """The cluster of KUBECONFIG."""

    has_kueue = False

    def __init__(self, replaced: str = "", namespace: str = NAMESPACE, **parts: Any) -> None:
        """`replaced`: see `images`; `parts`: components and patches of the services' kustomization."""
        self.images, self.namespace, self.parts = images(replaced), namespace, parts
        self.folder = Path(tempfile.mkdtemp(prefix="kubernetes-"))
        # The cluster's kubectl has precedence.
        self.variables = os.environ | {"PATH": f"{os.environ['PATH']}:{Path(sys.executable).parent}"}

    def run(self, *command: str, check: bool = True, text: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(command, env=self.variables, input=text, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0 or not check, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
        return done

    def kubectl(self, *words: str, check: bool = True, text: str = "") -> str:
        return self.run("kubectl", "--namespace", self.namespace, *words, check=check, text=text).stdout

    def get(self, *words: str) -> Any:
        found = json.loads(self.kubectl("get", *words, "--output", "json"))
        return found["items"] if found["kind"] == "List" else found

    def pods(self, labels: str) -> list[str]:
        return [pod["metadata"]["name"] for pod in self.get("pods", "--selector", labels)]

    def kill(self, labels: str) -> None:
        pods = self.pods(labels)
        assert pods, f"no pod has {labels}"
        self.kubectl("delete", "pod", *pods, "--grace-period=0", "--force")

    def kustomization(self, name: str, resource: str, **parts: Any) -> Path:
        """A user's folder based on one of k8s/, with this cluster's images."""
        parts = {"namespace": self.namespace, "images": self.images, **parts}
        return kustomization(self.folder / name, resource, **parts)

    def install(self) -> str:
        """Install the services with the command of k8s/README.md."""
        services = self.kustomization("services", "services/embedded", **self.parts)
        return self.run(str(ROOT / "k8s" / "install"), str(services)).stdout

    def run_now(self, cron_job: str) -> str:
        """Run a CronJob's pod once as a job, which must succeed, and return its log."""
        job = f"{cron_job}-now"
        self.kubectl("create", "job", job, f"--from=cronjob/{cron_job}")
        waited = self.kubectl("wait", "--for=condition=complete", f"job/{job}", "--timeout=540s", check=False)
        log = self.kubectl("logs", f"job/{job}", check=False)
        assert "condition met" in waited, log + self.kubectl("describe", "pods", "--selector", f"job-name={job}")
        return log

    def remove(self) -> None:
        """Remove the whole installation, with volumes and secrets but without the namespace."""
        self.kubectl("delete", "--kustomize", str(self.folder / "services"))
        self.kubectl("delete", "persistentvolumeclaims,secrets", "--all")

    def wait_for_services(self) -> None:
        for name in ("statefulset/postgres", "statefulset/s3", "deployment/mlflow"):
            self.kubectl("rollout", "status", name, "--timeout=540s")

    @contextmanager
    def forwarded(self, name: str, port: int) -> Iterator[str]:
        """The local address of a service, from `kubectl port-forward`."""
        (here,) = free_ports(1)
        command = ["kubectl", "--namespace", self.namespace, "port-forward", f"service/{name}", f"{here}:{port}"]
        with subprocess.Popen(command, env=self.variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            try:
                assert process.stdout is not None
                said = process.stdout.readline()
                assert b"Forwarding" in said, said
                yield f"http://127.0.0.1:{here}"
            finally:
                process.kill()

    def secret(self, name: str) -> dict[str, str]:
        return {key: b64decode(value).decode() for key, value in self.get("secret", name)["data"].items()}

    @contextmanager
    def bucket(self) -> Iterator[Any]:
        keys = {name.lower(): value for name, value in self.secret("s3").items()}
        with self.forwarded("s3", 8333) as url:
            session = boto3.Session(**keys, region_name="us-east-1")
            yield session.resource("s3", endpoint_url=url).Bucket("sweeps")

    def records(self, sweep: str) -> dict[str, dict[str, Any]]:
        with self.bucket() as bucket:
            objects = bucket.objects.filter(Prefix=f"{sweep}/records/")
            return {Path(o.key).stem: json.loads(o.get()["Body"].read()) for o in objects}

    def count(self, sweep: str) -> int:
        """The number of records so far; 0 if the storage does not answer."""
        with suppress(Exception):
            return len(self.records(sweep))
        return 0

    def runs(self, sweep: str) -> tuple[list[Mapping[str, Any]], list[str]]:
        """MLflow's runs of a sweep's trials, with key, status and names of maps, and the states of the parent runs."""
        account = self.secret("mlflow-client")
        with self.forwarded("mlflow", 5000) as url, patch.dict(os.environ, account):
            client = MlflowClient(url)
            experiment = client.get_experiment_by_name(sweep)
            assert experiment is not None, f"MLflow has no experiment {sweep}"
            trials = [
                {
                    "trial_key": run.data.tags["trial_key"],
                    "status": run.info.status,
                    "auc": run.data.metrics.get("test_ood/auc"),
                    "maps": sorted(f.path for f in client.list_artifacts(run.info.run_id, "attribution")),
                }
                for run in client.search_runs([experiment.experiment_id], "tags.kind = 'trial'", max_results=1000)
            ]
            parents = client.search_runs([experiment.experiment_id], "tags.kind = 'sweep'")
            return trials, [run.info.status for run in parents]

    def problems(self, sweep: str, trials: int = TRIALS) -> list[str]:
        """Errors in the results of a sweep: each trial must have one record and one finished run with maps."""
        found, records = [], self.records(sweep)
        if len(records) != trials:
            found.append(f"{len(records)} records of {trials} trials")
        found += [f"record {key}: {r['status']}" for key, r in records.items() if r["status"] != "completed"]
        runs, parents = self.runs(sweep)
        count = Counter(run["trial_key"] for run in runs)
        found += [f"{count[key]} MLflow runs of {key}" for key in count.keys() | records.keys() if count[key] != 1]
        found += [f"MLflow run of {key} has no record" for key in count.keys() - records.keys()]
        maps = [f"attribution/{name}" for name in ("epochs.json", "maps.npz", "saliency.png")]
        for run in runs:
            right = {"status": "FINISHED", "maps": maps, "auc": records.get(run["trial_key"], {}).get("test_ood.auc")}
            found += [f"MLflow run of {run['trial_key']}: {k} is {run[k]}" for k in right if run[k] != right[k]]
        if parents != ["FINISHED"]:
            found.append(f"MLflow's runs of the sweep: {parents}")
        with self.bucket() as bucket:
            names = {o.key for o in bucket.objects.filter(Prefix=f"{sweep}/report/")}
        if f"{sweep}/report/report.html" not in names:
            found.append("no report")
        return found


class SweepJob:
    """A sweep, applied from a folder as k8s/README.md tells users to make one."""

    def __init__(
        self, cluster: Cluster, name: str, *, base: str = "cpu", small: bool = True, components: Sequence[str] = ()
    ) -> None:
        """`base` and `components` are folders of k8s/sweeps; `small` replaces the resource requests by small ones."""
        self.cluster, self.name, self.job = cluster, name, f"sweep-{name}"
        self.base, self.small, self.components = base, small, components
        self.write()

    def write(self, *options: str, image: Mapping[str, str] | None = None) -> None:
        """Write the folder, with other options of sweep.py if given, and `image` as another image."""
        words = " ".join(options or SHORT)
        entrypoint = f"sh /app/k8s/run_sweep.sh --address auto --name {self.name} {words}"
        operations: list[dict[str, Any]] = [{"op": "replace", "path": "/spec/entrypoint", "value": entrypoint}]
        for group, asked, limit, memory in SMALL if self.small else ():
            resources = {"requests": {"cpu": asked, "memory": "512Mi"}, "limits": {"cpu": limit, "memory": memory}}
            path = f"/spec/rayClusterSpec/{group}/template/spec/containers/0/resources"
            operations.append({"op": "replace", "path": path, "value": resources})
        if self.base == "base":
            path = "/spec/rayClusterSpec/workerGroupSpecs/0/maxReplicas"
            operations.append({"op": "replace", "path": path, "value": 2})
        parts: dict[str, Any] = {
            "nameSuffix": f"-{self.name}",
            "patches": [{"target": {"kind": "RayJob"}, "patch": yaml.safe_dump(operations)}],
            "components": [f"sweeps/{name}" for name in self.components],
        }
        parts |= {} if image is None else {"images": [image]}
        self.folder = self.cluster.kustomization(self.name, f"sweeps/{self.base}", **parts)

    def apply(self) -> None:
        self.cluster.kubectl("apply", "--kustomize", str(self.folder))

    def replace(self) -> None:
        self.cluster.kubectl("replace", "--force", "--kustomize", str(self.folder))

    def status(self) -> dict[str, Any]:
        return dict(self.cluster.get("rayjob", self.job).get("status", {}))

    def ended(self) -> str:
        """`Complete` or `Failed`; an empty text while the sweep runs."""
        state = str(self.status().get("jobDeploymentStatus", ""))
        return state if state in ("Complete", "Failed") else ""

    def wait(self, seconds: float = PATIENCE) -> str:
        return str(wait_until(self.ended, f"{self.job} ends", seconds))

    def wait_for_records(self, count: int = 3) -> None:
        """Wait until `count` trials are done, while others run."""
        wait_until(lambda: self.cluster.count(self.name) >= count or self.ended(), f"{count} records", every=1)
        assert not self.ended(), "it was over before anything could be killed: longer trials are needed"

    def labels(self, node: str) -> str:
        return f"ray.io/cluster={self.status()['rayClusterName']},ray.io/node-type={node}"

    def log(self) -> str:
        """The log of the last submitter."""
        pods = self.cluster.get("pods", "--selector", f"job-name={self.job}")
        if not pods:
            return ""
        last = max(pods, key=lambda pod: pod["metadata"]["creationTimestamp"])["metadata"]["name"]
        return self.cluster.kubectl("logs", last, "--container", "ray-job-submitter", check=False)

    def delete(self) -> None:
        self.cluster.kubectl("delete", "--kustomize", str(self.folder), "--ignore-not-found", "--wait=true")

    def tell(self) -> str:
        """Everything that may explain a failure."""
        words: list[Sequence[str]] = [
            ("get", "rayjob,raycluster,pods", "--output", "wide"),
            ("get", "events", "--sort-by=.lastTimestamp"),
            ("get", "rayjob", self.job, "--output", "yaml"),
        ]
        parts = [f"$ kubectl {' '.join(w)}\n{self.cluster.kubectl(*w, check=False)[-6000:]}" for w in words]
        return "\n".join([*parts, f"The job's log:\n{self.log()[-6000:]}"])

    def end_of_log(self) -> str:
        """Its last lines, without colours."""
        return "\n".join(re.sub(r"\x1b\[[0-9;]*m", "", self.log()).strip().splitlines()[-12:])
