"""The Kubeflow pipeline: its compiled form is up to date, and its steps run with kfp.local on a stand-in for the API.

tests/kubernetes/test_pipeline.py runs the steps against a real API server.
"""

import json
import os
import shlex
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from support.commands import ROOT
from support.fake_kubernetes import FakeKubernetes
from support.kubeflow import SCRIPT, kfp, run_step
from support.manifests import K8S, render
from support.operator_rules import violations

pytestmark = pytest.mark.slow
RUNNING = {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}
COMPLETE = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}
FAILED = {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "reason": "AppFailed", "message": "no such bucket"}


def test_the_compiled_pipeline_is_current(tmp_path):
    made = tmp_path / "pipeline.yaml"
    done = kfp(str(K8S / "kubeflow" / "pipeline.py"), str(made), input=render(K8S / "sweeps" / "gpu"))
    assert done.returncode == 0, done.stderr
    assert made.read_text() == (K8S / "kubeflow" / "pipeline.yaml").read_text(), "run `make pipeline` and commit it"


def test_the_image_of_the_steps_is_a_setting(tmp_path):
    image = "registry.example/saliency-sweep:2-pipeline"
    settings = {"input": render(K8S / "sweeps" / "cpu"), "env": {**os.environ, "PIPELINE_IMAGE": image}}
    done = kfp(str(K8S / "kubeflow" / "pipeline.py"), str(tmp_path / "pipeline.yaml"), **settings)
    assert done.returncode == 0, done.stderr
    spec, _ = yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text())
    assert {e["container"]["image"] for e in spec["deploymentSpec"]["executors"].values()} == {image}


def test_an_interrupted_wait_of_days_is_repeated():
    spec, _ = yaml.safe_load_all((K8S / "kubeflow" / "pipeline.yaml").read_text())
    policy = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]["wait"]["retryPolicy"]
    timeout = spec["root"]["inputDefinitions"]["parameters"]["timeout_minutes"]["defaultValue"]
    # Argo repeats no step when this much time has passed since its first start.
    assert float(policy["backoffMaxDuration"].removesuffix("s")) > 60 * timeout
    assert policy["maxRetryCount"] > 0


def test_the_role_has_the_verbs_of_the_steps():
    (role,) = yaml.safe_load_all((K8S / "kubeflow" / "rbac.yaml").read_text())
    source = (K8S / "kubeflow" / "pipeline.py").read_text()
    used = {verb for verb in ("create", "get", "delete", "list", "patch") if f"s.{verb}_namespaced" in source}
    (rule,) = role["rules"]
    assert (rule["apiGroups"], rule["resources"]) == (["ray.io"], ["rayjobs"])
    assert used == set(rule["verbs"])


class Pipeline(FakeKubernetes):
    """Runs the pipeline on the records of a finished sweep."""

    def __init__(self, folder: Path, storage: Path, states):
        super().__init__(folder, states)
        self.folder, self.storage = folder, storage

    def run(self):
        settings = {"sweep": "tiny", "storage": str(self.storage), "endpoint": "", "arguments": "--space smoke"}
        settings |= {"timeout_minutes": 1.0, "poll_seconds": 0.1}
        variables = {k: v for k, v in os.environ.items() if not k.startswith(("KUBE", "MLFLOW_", "RAY_"))}
        done = kfp(
            *(SCRIPT, "pipeline", str(ROOT), str(self.folder / "outputs")),
            input=json.dumps({"manifests": render(K8S / "sweeps" / "cpu"), **settings}),
            env=variables | {"KUBECONFIG": str(self.kubeconfig), "NAMESPACE": "kubeflow"},
            cwd=self.folder,
        )
        return done.returncode, done.stdout + done.stderr

    def pages(self):
        return list((self.folder / "outputs").rglob("page*"))

    def uids(self):
        return [job["metadata"]["uid"] for job in self.jobs.values()]


def test_the_steps_succeed_and_the_next_run_replaces_the_job(tmp_path, tiny_sweep):
    with Pipeline(tmp_path, tiny_sweep.folder / "sweeps", [RUNNING, 503, RUNNING, COMPLETE]) as pipeline:
        code, output = pipeline.run()
        assert code == 0, output
        ((name, job),) = pipeline.jobs.items()
        first = pipeline.uids()
        again, second_output = pipeline.run()
        assert again == 0, second_output
        assert pipeline.uids() != first
        assert len(pipeline.jobs) == 1
    assert job["spec"]["entrypoint"] == "sh /app/k8s/run_sweep.sh --address auto --name tiny --space smoke"
    assert job["metadata"]["name"] == name
    assert violations(job) == []
    assert isinstance(job["spec"]["backoffLimit"], int), "Kubernetes refuses 3.0"
    for text in ("the Kubernetes API answers 503; trying again", "Undecided", "the run was not cancelled"):
        assert text in output
    assert len(pipeline.pages()) == 2
    assert "<html" in pipeline.pages()[0].read_text()[:500]
    assert f"deleted RayJob {name}, which had ended" in second_output


def test_a_failure_is_reported_and_the_next_run_replaces_the_job(tmp_path, tiny_sweep):
    with Pipeline(tmp_path, tiny_sweep.folder / "sweeps", [RUNNING, FAILED]) as pipeline:
        code, output = pipeline.run()
        assert code != 0
        assert "ended as Failed: FAILED AppFailed no such bucket" in output
        assert not pipeline.pages(), "nothing is published"
        assert len(pipeline.jobs) == 1, "a run that failed deletes nothing"
        # Read once by `submit`, which sees it failed and makes a new one.
        pipeline.states = [FAILED, COMPLETE]
        code, output = pipeline.run()
    assert code == 0, output


@pytest.fixture
def kubernetes(tmp_path):
    with FakeKubernetes(tmp_path, [RUNNING]) as kubernetes:
        yield kubernetes


def submit(kubernetes, run="run-1", arguments="--space smoke", **changes):
    (rayjob,) = (m for m in yaml.safe_load_all(render(K8S / "sweeps" / "cpu")) if m["kind"] == "RayJob")
    settings = {"namespace": "saliency-sweep", "sweep": "tiny", "arguments": arguments, "run": run}
    rayjob["spec"] |= changes
    return run_step("submit", kubernetes.kubeconfig, rayjob=json.dumps(rayjob), **settings)


def wait(kubernetes, name="sweep-tiny", since=None, minutes=1.0):
    settings = {"name": name, "namespace": "saliency-sweep", "timeout_minutes": minutes, "poll_seconds": 0.1}
    return run_step("wait", kubernetes.kubeconfig, since=since or time.time(), **settings)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (COMPLETE, "succeeded"),
        ({"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"}, "RayJob sweep-tiny ended as Complete: STOPPED"),
        (
            {"jobDeploymentStatus": "ValidationFailed", "reason": "ValidationFailed", "message": "bad spec"},
            "RayJob sweep-tiny ended as ValidationFailed: ValidationFailed bad spec",
        ),
    ],
)
def test_final_states_end_the_wait(kubernetes, status, outcome):
    kubernetes.create({"metadata": {"name": "sweep-tiny"}})
    kubernetes.states = [{}, {"jobDeploymentStatus": "Suspended"}, {"jobDeploymentStatus": "Retrying"}, status]
    assert wait(kubernetes) == outcome


def test_a_slow_job_goes_on_and_a_repeated_wait_keeps_its_deadline(kubernetes):
    kubernetes.create({"metadata": {"name": "sweep-tiny"}})
    assert "is Running after 5 minutes; it goes on" in wait(kubernetes, since=time.time() - 301, minutes=5.0)
    assert len(kubernetes.jobs) == 1


@pytest.mark.parametrize("status", [403, 401])
def test_a_forbidden_wait_is_an_error(kubernetes, status):
    kubernetes.create({"metadata": {"name": "sweep-tiny"}})
    kubernetes.states = [status, COMPLETE]
    with pytest.raises(RuntimeError, match=f"\\({status}\\)"):
        wait(kubernetes)


def test_arguments_are_not_expanded_by_a_shell(kubernetes, tmp_path):
    arguments = f"--space smoke --set 'note=two words; touch {tmp_path}/made' --set image=$(touch\\ {tmp_path}/made)"
    submit(kubernetes, arguments=arguments)
    ((_, job),) = kubernetes.jobs.items()
    # The shell of the submitter, then the shell of Ray's job agent, which is given the words quoted again.
    words = job["spec"]["entrypoint"]
    for _ in range(2):
        shell = subprocess.run(["sh", "-c", f"printf '%s\\n' {words}"], capture_output=True, text=True, check=True)
        words = shlex.join(shell.stdout.splitlines())
    assert shell.stdout.splitlines()[4:] == [
        *("--name", "tiny", "--space", "smoke"),
        *("--set", f"note=two words; touch {tmp_path}/made"),
        *("--set", f"image=$(touch {tmp_path}/made)"),
    ]
    assert not (tmp_path / "made").exists()


def test_an_unclosed_quote_is_an_error(kubernetes):
    with pytest.raises(RuntimeError, match=r"arguments .*: No closing quotation; quote them as in a shell"):
        submit(kubernetes, arguments="--set 'a=b")
    assert not kubernetes.jobs
