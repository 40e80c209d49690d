"""A Kubeflow pipeline: submit a RayJob, wait for it, analyse its records, publish the report.

    make pipeline       compiles it to pipeline.yaml, with the RayJob of the sweep gpu as its default

Each step may be interrupted and repeated: a run has one RayJob, labelled with the run's id, and waiting changes
nothing. README.md describes second runs and cancelled runs.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from kfp import compiler, dsl, kubernetes

IMAGE = os.environ.get("PIPELINE_IMAGE", "saliency-sweep:0.1.0-pipeline")


def has_ended(rayjob: dict) -> bool:
    """Whether the `jobDeploymentStatus` of a RayJob is one of KubeRay's final states."""
    return rayjob.get("status", {}).get("jobDeploymentStatus") in ("Complete", "Failed", "ValidationFailed")


@dsl.component(base_image=IMAGE, install_kfp_package=False, additional_funcs=[has_ended])
def submit(rayjob: str, namespace: str, sweep: str, arguments: str, run: str) -> NamedTuple(
    "Submitted", [("name", str), ("at", float)]
):
    """Create the run's RayJob, or adopt a running one with the same content from an earlier run.

    The name contains a hash of manifest, image, sweep and arguments. A RayJob that has ended is replaced; the new one
    trains the trials without a record. The time of submission is in seconds since the epoch.

    Args:
        rayjob: its manifest as JSON. In a structure, integers would arrive as 3.0, which Kubernetes rejects.
        arguments: options of sweep.py, separated and quoted as in a shell, but not expanded.
    """
    import hashlib
    import json
    import re
    import shlex
    import time

    from kubernetes import client, config

    try:
        options = shlex.split(arguments)
    except ValueError as error:
        raise ValueError(f"arguments {arguments!r}: {error}; quote them as in a shell") from error
    command = ["sh", "/app/k8s/run_sweep.sh", "--address", "auto", "--name", sweep, *options]
    manifest = json.loads(rayjob)
    manifest["spec"]["entrypoint"] = shlex.join(command)
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    # Kubernetes restricts names; the hash distinguishes sweeps whose restricted names are equal.
    plain = re.sub("[^a-z0-9]+", "-", sweep.lower()).strip("-")[:24].strip("-")
    name = f"sweep-{plain}-{digest[:8]}"
    label = {"saliency-sweep/run": run}
    labels = {**manifest["metadata"].get("labels", {}), **label}
    manifest["metadata"] = {**manifest["metadata"], "name": name, "namespace": namespace, "labels": labels}

    config.load_config()
    jobs = client.CustomObjectsApi()
    kind = {"group": "ray.io", "version": "v1", "namespace": namespace, "plural": "rayjobs", "_request_timeout": 60}
    for _ in range(150):
        try:
            jobs.create_namespaced_custom_object(**kind, body=manifest)
            print(f"made RayJob {name}: {manifest['spec']['entrypoint']}")
            return (name, time.time())
        except client.ApiException as error:
            if error.status != 409:
                raise
        try:
            existing = jobs.get_namespaced_custom_object(**kind, name=name)
            # If another run replaces it in the meantime, the request below is rejected.
            identity = {"uid": existing["metadata"]["uid"]}
            if "deletionTimestamp" in existing["metadata"]:
                print(f"RayJob {name} is being deleted")
            elif label.items() <= existing["metadata"].get("labels", {}).items():
                print(f"RayJob {name} is this run's: made before this step was repeated")
                return (name, time.time())
            elif has_ended(existing):
                jobs.delete_namespaced_custom_object(**kind, name=name, body={"preconditions": identity})
                print(f"deleted RayJob {name}, which had ended")
            else:
                jobs.patch_namespaced_custom_object(**kind, name=name, body={"metadata": {**identity, "labels": label}})
                print(f"adopted RayJob {name}, which still runs")
                return (name, time.time())
        except client.ApiException as error:
            if error.status not in (404, 409):
                raise
        time.sleep(2)
    raise TimeoutError(f"RayJob {name} is still there; delete it: kubectl -n {namespace} delete rayjob {name}")


@dsl.component(base_image=IMAGE, install_kfp_package=False, additional_funcs=[has_ended])
def wait(name: str, namespace: str, since: float, timeout_minutes: float, poll_seconds: float) -> str:
    """Wait until the RayJob has ended, and return "succeeded" or a sentence with the error.

    A failed RayJob is not an error of this step, as Kubeflow would repeat the step, like one that was evicted.
    `analyse` raises the error.
    `timeout_minutes` are counted from `since`, even if this step is repeated.
    """
    import time

    import urllib3
    from kubernetes import client, config

    config.load_config()
    jobs = client.CustomObjectsApi()
    kind = {"group": "ray.io", "version": "v1", "namespace": namespace, "plural": "rayjobs", "_request_timeout": 60}
    state = "unknown"
    while True:
        try:
            job = jobs.get_namespaced_custom_object(**kind, name=name)
            status, last = job.get("status", {}), state
            state = status.get("jobDeploymentStatus", "new")
            if state != last:
                print(f"RayJob {name}: {state}")
            # A stopped job is complete, too.
            if state == "Complete" and status.get("jobStatus") == "SUCCEEDED":
                return "succeeded"
            if has_ended(job):
                details = (status.get(key, "") for key in ("jobStatus", "reason", "message"))
                return " ".join([f"RayJob {name} ended as {state}:", *filter(None, details)])
        except client.ApiException as error:
            if error.status == 404:
                return f"there is no RayJob {name} in {namespace}: it was deleted"
            if error.status < 500 and error.status != 429:
                raise
            # A short outage of the API server must not end a sweep of hours.
            print(f"the Kubernetes API answers {error.status}; trying again")
        except urllib3.exceptions.HTTPError as error:
            print(f"the Kubernetes API does not answer: {error}; trying again")
        if time.time() > since + 60 * timeout_minutes:
            return f"RayJob {name} is {state} after {timeout_minutes:g} minutes; it goes on. Run the pipeline again"
        time.sleep(poll_seconds)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def cancel(namespace: str, run: str) -> None:
    """Delete the RayJob of a cancelled run. After any other end the sweep goes on, and the next run adopts it."""
    import os

    from kubernetes import client, config

    config.load_config()
    objects = client.CustomObjectsApi()
    # The run's namespace, not the RayJob's.
    runs = {"group": "argoproj.io", "version": "v1alpha1", "namespace": os.environ["NAMESPACE"], "plural": "workflows"}
    workflows = objects.list_namespaced_custom_object(**runs, label_selector=f"pipeline/runid={run}")["items"]
    # Kubeflow cancels a run by setting its workflow's deadline to 0.
    if not any(workflow["spec"].get("activeDeadlineSeconds") == 0 for workflow in workflows):
        print("the run was not cancelled: its RayJob stays")
        return
    kind = {"group": "ray.io", "version": "v1", "namespace": namespace, "plural": "rayjobs"}
    for job in objects.list_namespaced_custom_object(**kind, label_selector=f"saliency-sweep/run={run}")["items"]:
        objects.delete_namespaced_custom_object(**kind, name=job["metadata"]["name"])
        print(f"deleted RayJob {job['metadata']['name']}")


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def analyse(outcome: str, sweep: str, storage: str, endpoint: str, report: dsl.Output[dsl.Artifact]) -> None:
    """Make the report, a folder, from the sweep's records; fail if the outcome of `wait` is an error.

    `endpoint` is the address of the S3 server, or empty for AWS.
    """
    import os
    import subprocess
    import sys

    if outcome != "succeeded":
        raise RuntimeError(outcome)
    variables = {**os.environ, **({"AWS_ENDPOINT_URL": endpoint} if endpoint else {})}
    command = [sys.executable, "-m", "analysis", "--sweep", sweep, "--storage", storage, "--out", report.path]
    subprocess.run(command, check=True, env=variables)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def publish(report: dsl.Input[dsl.Artifact], page: dsl.Output[dsl.HTML], numbers: dsl.Output[dsl.Metrics]) -> str:
    """Show the report and its main numbers in the pipeline's UI; returns the answer in one sentence."""
    import json
    import shutil
    from pathlib import Path

    folder = Path(report.path)
    shutil.copyfile(folder / "report.html", page.path)
    content = json.loads((folder / "report.json").read_text())
    numbers.log_metric("n_trials", content["n_trials"])
    numbers.log_metric("answer", content["verdict"]["answer"])
    print(content["verdict"]["sentence"])
    return str(content["verdict"]["sentence"])


def make_pipeline(rayjob: dict[str, Any]) -> Any:
    """The pipeline with `rayjob` as its default manifest."""
    manifest = json.dumps(rayjob, sort_keys=True)

    @dsl.pipeline(name="saliency-sweep", description="Does a better saliency map mean better generalization?")
    def saliency_sweep(
        sweep: str = "laptop",
        arguments: str = "--space laptop --gpus-per-trial 0.25",
        storage: str = "s3://sweeps",
        endpoint: str = "http://s3.saliency-sweep:8333",
        namespace: str = "saliency-sweep",
        timeout_minutes: float = 2880.0,
        poll_seconds: float = 30.0,
        rayjob: str = manifest,
    ) -> None:
        cancelled = cancel(namespace=namespace, run=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
        with dsl.ExitHandler(cancelled):
            job = {"rayjob": rayjob, "namespace": namespace, "sweep": sweep, "arguments": arguments}
            submitted = submit(**job, run=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
            job = {"name": submitted.outputs["name"], "namespace": namespace, "since": submitted.outputs["at"]}
            waited = wait(**job, timeout_minutes=timeout_minutes, poll_seconds=poll_seconds)
            analysed = analyse(outcome=waited.output, sweep=sweep, storage=storage, endpoint=endpoint)
            published = publish(report=analysed.outputs["report"])
        # Steps that depend on external state run again each time.
        for task in (submitted, waited, analysed, published, cancelled):
            task.set_caching_options(False)
            task.set_cpu_request("100m").set_memory_limit("2Gi")
        # Kubeflow repeats a step until backoff_max_duration after its first start, by default an hour.
        for task, times in ((submitted, 3), (waited, 20), (cancelled, 3)):
            task.set_retry(times, backoff_duration="30s", backoff_factor=1.0, backoff_max_duration="30d")
        # Removing a node that looks idle would end the wait.
        kubernetes.add_pod_annotation(waited, "cluster-autoscaler.kubernetes.io/safe-to-evict", "false")
        kubernetes.add_pod_annotation(waited, "karpenter.sh/do-not-disrupt", "true")
        keys = {"AWS_ACCESS_KEY_ID": "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY": "AWS_SECRET_ACCESS_KEY"}
        kubernetes.use_secret_as_env(analysed, secret_name="s3", secret_key_to_env=keys, optional=True)  # noqa: S106 -- a name
        analysed.set_env_variable("AWS_DEFAULT_REGION", "us-east-1")
        kubernetes.add_pod_label(analysed, "saliency-sweep/role", "pipeline")
        kubernetes.use_field_path_as_env(cancelled, env_name="NAMESPACE", field_path="metadata.namespace")

    return saliency_sweep


def rayjob_of(manifests: str) -> dict[str, Any]:
    """The one RayJob among rendered manifests."""
    (rayjob,) = [m for m in yaml.safe_load_all(manifests) if m and m["kind"] == "RayJob"]
    return dict(rayjob)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: kubectl kustomize k8s/sweeps/NAME | python pipeline.py OUT.yaml")
    compiler.Compiler().compile(make_pipeline(rayjob_of(sys.stdin.read())), str(Path(sys.argv[1])))
