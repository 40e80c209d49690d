"""The pipeline's steps against a real API server and KubeRay's operator, as an account after `k8s/kubeflow/allow`.

On the cluster of KUBECONFIG, in two namespaces of their own. No node fits the pods of the Ray clusters, so no container
starts: how a RayJob ends is written into its status as the operator would, or left to the operator.
"""

import json
import os
import signal
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from support.kubeflow import run_step, start_step
from support.manifests import K8S, KUBECTL, OVERLAYS, render
from support.real_cluster import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
COMPLETE = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}
FAILED = {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "reason": "AppFailed", "message": "no such bucket"}

SCHEMA = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
WORKFLOWS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "workflows.argoproj.io"},
    "spec": {
        "group": "argoproj.io",
        "scope": "Namespaced",
        "names": {"plural": "workflows", "singular": "workflow", "kind": "Workflow"},
        "versions": [{"name": "v1alpha1", "served": True, "storage": True, "schema": SCHEMA}],
    },
}
"""As much of Argo as the steps see, where there is none."""


def kubectl(*arguments, content=None):
    text = None if content is None else json.dumps(content)
    done = subprocess.run([str(KUBECTL), *arguments], input=text, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def until(holds):
    wait_until(holds, "the operator has acted", 60, every=0.5)


@dataclass(frozen=True)
class Place:
    """The namespace of the RayJobs, that of the pipeline's runs, and a kubeconfig of the account they have there."""

    sweeps: str
    runs: str
    kubeconfig: Path

    def job(self, name):
        shown = kubectl("-n", self.sweeps, "get", "rayjob", name, "--ignore-not-found", "-o", "json")
        return json.loads(shown) if shown else None

    def uid(self, name):
        return self.job(name)["metadata"]["uid"]

    def patch(self, name, content, *options):
        kubectl("-n", self.sweeps, "patch", "rayjob", name, "--type=merge", "-p", json.dumps(content), *options)

    def end(self, name, status):
        """Let a RayJob have come to an end, once the operator has begun with it."""
        until(lambda: self.job(name).get("status", {}).get("jobDeploymentStatus") == "Initializing")
        self.patch(name, {"status": status}, "--subresource=status")

    def workflow(self, run, **spec):
        """The run as Kubeflow sees it."""
        content = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "spec": spec}
        metadata = {"name": f"run-{run}", "namespace": self.runs, "labels": {"pipeline/runid": run}}
        kubectl("apply", "-f", "-", content=content | {"metadata": metadata})

    def submitting(self, run, sweep, image="saliency-sweep:0.1.0", **changes):
        """The step `submit`, started."""
        rayjob = rayjob_of("cpu")
        rayjob["spec"] |= changes
        head = rayjob["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
        head["nodeSelector"] = {"saliency-sweep/nowhere": "true"}
        del head["priorityClassName"]
        head["containers"][0]["image"] = image
        settings = {"namespace": self.sweeps, "sweep": sweep, "arguments": "--space smoke", "run": run}
        return start_step("submit", self.kubeconfig, rayjob=json.dumps(rayjob), **settings)

    def submit(self, sweep, run=None, **changes):
        """The name of the RayJob of a run, by default a new one."""
        name, at = self.outcome(self.submitting(run or str(uuid.uuid4()), sweep, **changes))
        assert abs(time.time() - at) < 60
        return name

    def waiting(self, name):
        """The step `wait`, started, once it has seen the RayJob."""
        settings = {"namespace": self.sweeps, "since": time.time(), "timeout_minutes": 5.0, "poll_seconds": 0.5}
        step = start_step("wait", self.kubeconfig, name=name, **settings)
        line = step.stdout.readline()
        assert line.startswith(f"RayJob {name}: "), line + step.stdout.read()
        return step

    def outcome(self, step):
        """What a started step returns."""
        # Not `communicate`, which loses what was read ahead with the first line.
        with step:
            output = step.stdout.read()
        assert step.returncode == 0, output
        return json.loads(output.splitlines()[-1])

    def cancel(self, run):
        run_step("cancel", self.kubeconfig, self.runs, namespace=self.sweeps, run=run)


def rayjob_of(overlay):
    (rayjob,) = (m for m in yaml.safe_load_all(render(K8S / "sweeps" / overlay)) if m["kind"] == "RayJob")
    return rayjob


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    try:
        kubectl("get", "customresourcedefinition", "rayjobs.ray.io")
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        answer = f"KUBECONFIG is {os.environ.get('KUBECONFIG')!r}: {error}"
        pytest.fail(f"these tests need a cluster with KubeRay's operator, and none answers; {answer}")
    folder = tmp_path_factory.mktemp("pipeline")
    sweeps, runs = (f"pipeline-check-{part}-{uuid.uuid4().hex[:6]}" for part in ("sweeps", "runs"))
    brings_argo = not kubectl("get", "customresourcedefinition", "workflows.argoproj.io", "--ignore-not-found")
    try:
        if brings_argo:
            kubectl("apply", "-f", "-", content=WORKFLOWS)
            kubectl("wait", "--for=condition=Established", "customresourcedefinition/workflows.argoproj.io")
        for namespace in (sweeps, runs):
            kubectl("create", "namespace", namespace)
        kubectl("-n", sweeps, "create", "secret", "generic", "s3", "--from-literal=AWS_ACCESS_KEY_ID=sweeps")
        kubectl("-n", runs, "create", "serviceaccount", "default-editor")
        # Kubeflow gives its accounts this.
        kubectl("-n", runs, "create", "role", "workflows", "--verb=get,list", "--resource=workflows.argoproj.io")
        account = f"--serviceaccount={runs}:default-editor"
        kubectl("-n", runs, "create", "rolebinding", "workflows", "--role=workflows", account)
        yield Place(sweeps, runs, allowed(folder, sweeps, runs))
    finally:
        # The namespaces' objects first: the operator has to let the RayJobs go.
        kubectl("delete", "namespace", sweeps, runs, "--ignore-not-found", "--timeout=110s")
        if brings_argo:
            kubectl("delete", "customresourcedefinition", "workflows.argoproj.io", "--ignore-not-found")


def allowed(folder, sweeps, runs):
    """The kubeconfig of the profile `runs` after `allow`, for RayJobs in the namespace `sweeps`."""
    environment = {**os.environ, "PATH": f"{KUBECTL.parent}:{os.environ['PATH']}", "NAMESPACE": sweeps}
    command = ["sh", str(K8S / "kubeflow" / "allow"), runs]
    for _ in range(2):  # It may be repeated.
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=100)
    config = json.loads(kubectl("config", "view", "--raw", "--minify", "--output=json"))
    config["users"][0]["user"] = {"token": kubectl("-n", runs, "create", "token", "default-editor").strip()}
    (folder / "kubeconfig").write_text(json.dumps(config))
    return folder / "kubeconfig"


def test_a_profile_that_is_allowed_has_the_keys_and_may_handle_rayjobs_alone(place):
    keys = json.loads(kubectl("-n", place.runs, "get", "secret", "s3", "-o", "json"))["data"]
    assert keys == {"AWS_ACCESS_KEY_ID": "c3dlZXBz"}
    labels = json.loads(kubectl("get", "namespace", place.runs, "-o", "json"))["metadata"]["labels"]
    assert labels["saliency-sweep/pipelines"] == "allowed"
    may = kubectl("--kubeconfig", str(place.kubeconfig), "-n", place.sweeps, "auth", "can-i", "--list", "--no-headers")
    assert {line.split()[0] for line in may.splitlines() if "[]" in line and "ray" in line} == {"rayjobs.ray.io"}
    assert not {"secrets", "pods"} & {line.split()[0] for line in may.splitlines()}


CLUSTER = "spec.rayClusterSpec"
HEAD = f"{CLUSTER}.headGroupSpec.template"
SUBMITTER = "spec.submitterPodTemplate"
KEY = {"name": "X", "valueFrom": {"secretKeyRef": {"name": "mlflow", "key": "MLFLOW_AUTH_ADMIN_PASSWORD"}}}
REDIS = {"redisAddress": "redis:6379", "redisPassword": {"valueFrom": KEY["valueFrom"]}}
SECRETS = "secrets s3 and mlflow-client only"
VOLUMES = "volumes of the kinds emptyDir and configMap only"
ACCOUNTS = "service accounts default and sweep only"
ROLES = "the label saliency-sweep/role"
FIELDS = "only the fields that"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (f"{HEAD}.spec.containers.0.envFrom", [{"secretRef": {"name": "postgres"}}], SECRETS),
        (f"{HEAD}.spec.containers.0.env", [KEY], SECRETS),
        (f"{HEAD}.spec.initContainers", [{"name": "first", "image": "i", "env": [KEY]}], SECRETS),
        (f"{SUBMITTER}.spec.containers.0.env", [KEY], SECRETS),
        (f"{CLUSTER}.workerGroupSpecs.0.template.spec.containers.0.env", [KEY], SECRETS),
        (f"{CLUSTER}.autoscalerOptions", {"env": [KEY]}, SECRETS),
        (f"{HEAD}.spec.volumes", [{"name": "v", "secret": {"secretName": "mlflow"}}], VOLUMES),
        (f"{HEAD}.spec.volumes", [{"name": "v", "persistentVolumeClaim": {"claimName": "data-postgres-0"}}], VOLUMES),
        (
            f"{SUBMITTER}.spec.volumes",
            [{"name": "v", "projected": {"sources": [{"secret": {"name": "mlflow"}}]}}],
            VOLUMES,
        ),
        (f"{HEAD}.spec.serviceAccountName", "mlflow", ACCOUNTS),
        (f"{SUBMITTER}.spec.serviceAccount", "mlflow", ACCOUNTS),
        (f"{HEAD}.metadata.labels", {"saliency-sweep/role": "postgres"}, ROLES),
        (f"{SUBMITTER}.metadata.labels", {"saliency-sweep/role": "mlflow"}, ROLES),
        (f"{CLUSTER}.headGroupSpec.labels", {"saliency-sweep/role": "s3"}, FIELDS),
        (f"{CLUSTER}.headGroupSpec.headService", {"spec": {"type": "LoadBalancer"}}, FIELDS),
        (f"{CLUSTER}.authOptions.secretName", "mlflow", FIELDS),
        (f"{CLUSTER}.gcsFaultToleranceOptions", REDIS, FIELDS),
        ("spec.clusterSelector", {"ray.io/cluster": "sweep-of-another"}, FIELDS),
    ],
)
def test_a_job_that_would_read_more_than_a_sweep_is_refused(place, field, value, message):
    rayjob = rayjob_of("cpu")
    rayjob["metadata"] = {"name": "sweep-attack", "namespace": place.sweeps}
    *path, last = (int(word) if word.isdigit() else word for word in field.split("."))
    part = rayjob
    for word in path:
        part = part[word]
    part[last] = value
    with pytest.raises(RuntimeError, match=f"ValidatingAdmissionPolicy 'saliency-sweep-ray' .*{message}"):
        kubectl("--kubeconfig", str(place.kubeconfig), "create", "-f", "-", content=rayjob)
    assert place.job("sweep-attack") is None
    # An account that may create pods is free to.
    kubectl("create", "--dry-run=server", "-f", "-", content=rayjob)


def test_a_job_is_not_changed_into_one(place):
    """Neither a pipeline's own job nor another's, whose entry point would run beside the secrets that it has."""
    rayjob = rayjob_of("cpu")
    rayjob["metadata"] = {"name": "sweep-of-another", "namespace": place.sweeps}
    rayjob["spec"] |= {"suspend": True}
    rayjob["spec"]["submitterPodTemplate"]["spec"]["containers"][0]["env"].append(KEY)
    kubectl("create", "-f", "-", content=rayjob)
    own = place.submit("own")
    for name, change, message in (
        (own, {"rayClusterSpec": {"authOptions": {"secretName": "mlflow"}}}, FIELDS),
        ("sweep-of-another", {"entrypoint": "env"}, SECRETS),
    ):
        words = ("-n", place.sweeps, "patch", "rayjob", name, "--type=merge", "-p", json.dumps({"spec": change}))
        with pytest.raises(RuntimeError, match=message):
            kubectl("--kubeconfig", str(place.kubeconfig), *words)
    labels = ("label", "rayjob", "sweep-of-another", "saliency-sweep/run=adopted")
    assert "labeled" in kubectl("--kubeconfig", str(place.kubeconfig), "-n", place.sweeps, *labels)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_sweep_is_accepted(place, overlay):
    rayjob = rayjob_of(overlay)
    rayjob["metadata"]["namespace"] = place.sweeps
    # KubeRay 1.6 lacks the groups' priority.
    words = ("create", "--dry-run=server", "--validate=warn", "-f", "-")
    kubectl("--kubeconfig", str(place.kubeconfig), *words, content=rayjob)


def test_an_autoscaler_changes_numbers_of_workers_alone(place):
    """Its account, which every program on a head has, with the rights that KubeRay gives it."""
    spec = rayjob_of("base")["spec"]["rayClusterSpec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        group["template"]["spec"] |= {"nodeSelector": {"saliency-sweep/nowhere": "true"}}
        group["template"]["spec"].pop("priorityClassName", None)
    # As an administrator's sweep may have it.
    spec["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["env"].append(KEY)
    metadata = {"name": "autoscaled", "namespace": place.sweeps}
    cluster = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": metadata, "spec": spec}
    kubectl("create", "-f", "-", content=cluster)
    until(lambda: "pod/" in kubectl("-n", place.sweeps, "get", "pods", "-l", "ray.io/cluster=autoscaled", "-o", "name"))
    (pod,) = kubectl("-n", place.sweeps, "get", "pods", "-l", "ray.io/cluster=autoscaled", "-o", "name").split()
    account = f"--as=system:serviceaccount:{place.sweeps}:autoscaled"

    def patch(what, path, value):
        operation = json.dumps([{"op": "add", "path": path, "value": value}])
        return kubectl("-n", place.sweeps, account, "patch", what, "--type=json", "-p", operation)

    worker = "/spec/workerGroupSpecs/0"
    assert "patched" in patch("raycluster/autoscaled", f"{worker}/replicas", 1)
    head = "/spec/headGroupSpec/template/spec"
    for path, value in (
        (f"{head}/serviceAccountName", "mlflow"),
        (f"{head}/containers/0/env/-", KEY),
        (f"{worker}/template/spec/containers/0/image", "evil"),
        (f"{worker}/rayStartParams/x", "$(evil)"),
    ):
        with pytest.raises(RuntimeError, match=SECRETS):
            patch("raycluster/autoscaled", path, value)
    for path, value in (("/spec/containers/0/image", "evil"), ("/metadata/labels/saliency-sweep~1role", "mlflow")):
        with pytest.raises(RuntimeError, match=r"'saliency-sweep-pods' .* may not change labels and specifications"):
            patch(pod, path, value)
    assert "patched" in patch(pod, "/metadata/annotations/note", "allowed")
    kubectl("-n", place.sweeps, "delete", "raycluster", "autoscaled")


def test_a_second_run_adopts_a_job_that_runs_and_replaces_one_that_has_ended(place):
    name = place.submit("twice")
    first = place.uid(name)
    second_run, third_run = str(uuid.uuid4()), str(uuid.uuid4())
    assert place.submit("twice", second_run) == name
    assert place.uid(name) == first
    assert place.job(name)["metadata"]["labels"]["saliency-sweep/run"] == second_run
    place.end(name, COMPLETE)
    assert place.outcome(place.waiting(name)) == "succeeded"
    assert place.submit("twice", third_run) == name
    second = place.uid(name)
    assert second != first
    place.end(name, FAILED)
    assert place.outcome(place.waiting(name)) == f"RayJob {name} ended as Failed: FAILED AppFailed no such bucket"
    assert place.submit("twice", third_run) == name
    assert place.uid(name) == second, "a repeated submission of the same run"
    assert place.submit("twice") == name
    assert place.uid(name) not in (first, second)


def test_another_image_is_another_job(place):
    old = place.submit("image")
    new = place.submit("image", image="saliency-sweep:0.2.0")
    assert new != old
    containers = place.job(new)["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"]
    assert containers[0]["image"] == "saliency-sweep:0.2.0"
    assert place.job(old) is not None


def test_a_wait_that_is_evicted_or_killed_changes_nothing_and_goes_on_when_it_is_repeated(place):
    name = place.submit("killed")
    uid = place.uid(name)
    for how in (signal.SIGTERM, signal.SIGKILL):
        step = place.waiting(name)
        step.send_signal(how)
        step.communicate(timeout=60)
        assert step.returncode == -how
        assert place.uid(name) == uid
        assert "deletionTimestamp" not in place.job(name)["metadata"]
    step = place.waiting(name)
    place.end(name, COMPLETE)
    assert place.outcome(step) == "succeeded"


def test_cancelling_a_run_deletes_its_job_and_another_end_does_not(place):
    run = str(uuid.uuid4())
    name = place.submit("cancelled", run)
    place.workflow(run, activeDeadlineSeconds=3600)
    place.cancel(run)
    assert "deletionTimestamp" not in place.job(name)["metadata"]
    step = place.waiting(name)
    # What Kubeflow writes into the workflow.
    place.workflow(run, activeDeadlineSeconds=0)
    place.cancel(run)
    until(lambda: place.job(name) is None)
    assert place.outcome(step) == f"there is no RayJob {name} in {place.sweeps}: it was deleted"
    until(lambda: name not in kubectl("-n", place.sweeps, "get", "rayclusters", "-o", "name"))


def test_a_job_that_a_later_run_has_adopted_survives_the_first_ones_end(place):
    first = str(uuid.uuid4())
    name = place.submit("shared", first)
    uid = place.uid(name)
    assert place.submit("shared") == name
    place.workflow(first, activeDeadlineSeconds=0)
    place.cancel(first)
    assert place.uid(name) == uid
    assert "deletionTimestamp" not in place.job(name)["metadata"]


def test_a_job_that_the_operator_refuses_ends_the_wait(place):
    name = place.submit("refused", shutdownAfterJobFinishes=False, ttlSecondsAfterFinished=60)
    assert f"RayJob {name} ended as ValidationFailed: ValidationFailed " in place.outcome(place.waiting(name))


def test_a_job_that_is_being_deleted_is_not_adopted(place):
    name = place.submit("deleted")
    uid = place.uid(name)
    until(lambda: place.job(name)["metadata"].get("finalizers"))
    place.patch(name, {"metadata": {"finalizers": ["saliency-sweep/hold"]}})
    kubectl("-n", place.sweeps, "delete", "rayjob", name, "--wait=false")
    step = place.submitting(str(uuid.uuid4()), "deleted")
    line = step.stdout.readline()
    place.patch(name, {"metadata": {"finalizers": []}})
    assert line == f"RayJob {name} is being deleted\n"
    assert place.outcome(step)[0] == name
    assert place.uid(name) != uid
