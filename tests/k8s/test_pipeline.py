"""The Kubeflow pipeline: its compiled form is current, and its steps run, by kfp.local against a Kubernetes API."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.commands import ROOT
from support.fake_kubernetes import FakeKubernetes
from support.manifests import K8S, render
from support.operator_rules import violations

pytestmark = pytest.mark.slow
# The environment that `make` puts into the one that these tests run in.
PYTHON = Path(sys.prefix) / "kubeflow" / "bin" / "python"
RUNNING = {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}
COMPLETE = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}
FAILED = {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "reason": "AppFailed", "message": "no such bucket"}


def kfp(*arguments, **options):
    assert PYTHON.exists(), "kfp's environment is missing: run `make pipeline` once"
    return subprocess.run([str(PYTHON), *arguments], capture_output=True, text=True, timeout=200, **options)


def test_the_compiled_pipeline_is_current(tmp_path):
    made = tmp_path / "pipeline.yaml"
    done = kfp(str(K8S / "kubeflow" / "pipeline.py"), str(made), input=render(K8S / "sweeps" / "gpu"))
    assert done.returncode == 0, done.stderr
    assert made.read_text() == (K8S / "kubeflow" / "pipeline.yaml").read_text(), "run `make pipeline` and commit it"


def test_what_was_compiled():
    spec, platform = yaml.safe_load_all((K8S / "kubeflow" / "pipeline.yaml").read_text())
    tasks = spec["root"]["dag"]["tasks"]
    order = {name: sorted(task.get("dependentTasks", [])) for name, task in tasks.items()}
    assert order == {"submit": [], "wait": ["submit"], "analyse": ["wait"], "publish": ["analyse"]}
    executors = spec["deploymentSpec"]["executors"]
    assert {e["container"]["image"] for e in executors.values()} == {"saliency-sweep:0.1.0-pipeline"}
    assert "pip" not in " ".join(word for e in executors.values() for word in e["container"]["command"][:3])
    rayjob = json.loads(spec["root"]["inputDefinitions"]["parameters"]["rayjob"]["defaultValue"])
    assert violations(rayjob) == []
    keys = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-analyse"]["secretAsEnv"]
    assert keys[0]["secretName"] == "s3"


def test_its_steps_may_do_what_they_do():
    role, binding = yaml.safe_load_all((K8S / "kubeflow" / "rbac.yaml").read_text())
    source = (K8S / "kubeflow" / "pipeline.py").read_text()
    used = {verb for verb in ("create", "get", "delete", "list", "patch") if f"jobs.{verb}_namespaced" in source}
    assert role["rules"] == [{"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create", "get", "delete"]}]
    assert used == set(role["rules"][0]["verbs"])
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


class Pipeline:
    """Runs the pipeline on the records of a finished sweep."""

    def __init__(self, folder: Path, storage: Path, kubernetes: FakeKubernetes):
        self.folder, self.storage, self.kubernetes = folder, storage, kubernetes

    def run(self, **arguments):
        given = {"sweep": "tiny", "storage": str(self.storage), "endpoint": "", "arguments": "--space smoke"}
        given |= {"timeout_minutes": 1.0, "poll_seconds": 0.1, **arguments}
        variables = {k: v for k, v in os.environ.items() if not k.startswith(("KUBE", "MLFLOW_", "RAY_"))}
        return kfp(
            str(ROOT / "tests" / "support" / "run_pipeline.py"),
            str(ROOT),
            str(self.folder / "outputs"),
            input=json.dumps({"manifests": render(K8S / "sweeps" / "cpu"), "arguments": given}),
            env=variables | {"KUBECONFIG": str(self.kubernetes.kubeconfig)},
            cwd=self.folder,
        )


@pytest.fixture
def pipeline(tmp_path, tiny_sweep):
    def make(*states):
        return Pipeline(tmp_path, tiny_sweep.folder / "sweeps", FakeKubernetes(tmp_path, states))

    return make


def test_submit_wait_analyse_publish_the_same_again_adopts_and_another_is_another(pipeline):
    run = pipeline({}, RUNNING, 503, RUNNING, COMPLETE)
    with run.kubernetes as kubernetes:
        done = run.run()
        assert done.returncode == 0, done.stdout + done.stderr
        ((name, job),) = kubernetes.jobs.items()
        verbs = kubernetes.verbs()
        same = run.run()
        assert len(kubernetes.jobs) == 1
        run.run(arguments="--space smoke --max-trials 7")
        assert len(kubernetes.jobs) == 2
    assert job["spec"]["entrypoint"] == "sh /app/k8s/run_sweep.sh --address auto --name tiny --space smoke"
    assert job["metadata"]["name"] == name
    assert violations(job) == []
    assert isinstance(job["spec"]["backoffLimit"], int), "Kubernetes refuses 3.0"
    assert verbs == ["POST", "GET"]
    assert "the Kubernetes API answers 503; trying again" in done.stdout + done.stderr
    assert "answer: Undecided" in done.stdout
    pages = list((run.folder / "outputs").rglob("page*"))
    assert len(pages) == 3
    assert "<html" in pages[0].read_text()[:500]
    assert same.returncode == 0, same.stderr
    assert "adopted RayJob sweep-tiny-" in same.stdout + same.stderr


def test_a_failure_is_said_and_the_next_run_replaces_the_job(pipeline):
    run = pipeline(RUNNING, FAILED)
    with run.kubernetes as kubernetes:
        done = run.run()
        assert done.returncode != 0
        assert "failed: AppFailed no such bucket" in done.stdout + done.stderr
        assert not list((run.folder / "outputs").rglob("page*")), "nothing is published"
        # Read once by `submit`, which finds it failed and makes a new one.
        kubernetes.states = [FAILED, COMPLETE]
        again = run.run()
    assert again.returncode == 0, again.stdout + again.stderr
    assert kubernetes.verbs() == ["POST", "GET", "POST", "GET", "DELETE", "POST", "GET"]


def test_a_job_that_takes_too_long_goes_on(pipeline):
    run = pipeline(RUNNING)
    with run.kubernetes as kubernetes:
        done = run.run(timeout_minutes=0.01)
    assert done.returncode != 0
    assert "is Running after 0.01 minutes; it goes on" in done.stdout + done.stderr
    assert len(kubernetes.jobs) == 1
