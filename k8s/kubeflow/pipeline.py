"""A Kubeflow pipeline: submit a RayJob, wait for it, analyse its records, publish the report.

    make pipeline       compiles it to pipeline.yaml, with the RayJob of the sweep gpu as its default

Each step may be repeated: the RayJob's name follows from what it runs, and one that is there is adopted.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler, dsl, kubernetes

IMAGE = "saliency-sweep:0.1.0-pipeline"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def submit(rayjob: str, namespace: str, sweep: str, arguments: str) -> str:
    """Create the RayJob, or adopt the one that is there; a failed one is replaced and continues the sweep.

    Args:
        rayjob: its manifest as JSON. As a structure its whole numbers would arrive as 3.0, which Kubernetes refuses.
        namespace: where it goes.
        sweep: the sweep's name.
        arguments: options of sweep.py.

    Returns:
        the RayJob's name.
    """
    import hashlib
    import json
    import re
    import time

    from kubernetes import client, config

    config.load_config()
    jobs = client.CustomObjectsApi()
    kind = {"group": "ray.io", "version": "v1", "namespace": namespace, "plural": "rayjobs"}
    entrypoint = f"sh /app/k8s/run_sweep.sh --address auto --name {sweep} {arguments}".strip()
    # Names of Kubernetes are short and plain; the hash tells apart what the plain part does not.
    plain = re.sub("[^a-z0-9]+", "-", sweep.lower()).strip("-")[:24].strip("-")
    name = f"sweep-{plain}-{hashlib.sha256(entrypoint.encode()).hexdigest()[:8]}"
    manifest = json.loads(rayjob)
    manifest["metadata"] = {**manifest["metadata"], "name": name, "namespace": namespace}
    manifest["spec"]["entrypoint"] = entrypoint
    for _ in range(60):
        try:
            jobs.create_namespaced_custom_object(**kind, body=manifest)
            print(f"created RayJob {name}: {entrypoint}")
            return name
        except client.ApiException as error:
            if error.status != 409:
                raise
        try:
            found = jobs.get_namespaced_custom_object(**kind, name=name)
        except client.ApiException as error:
            if error.status != 404:
                raise
            # It was deleted just now.
            continue
        if found.get("status", {}).get("jobDeploymentStatus") != "Failed":
            print(f"adopted RayJob {name}")
            return name
        if "deletionTimestamp" not in found["metadata"]:
            jobs.delete_namespaced_custom_object(**kind, name=name)
            print(f"deleted the failed RayJob {name}")
        time.sleep(2)
    raise TimeoutError(
        f"the failed RayJob {name} is still there; delete it: kubectl -n {namespace} delete rayjob {name}"
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def wait(name: str, namespace: str, timeout_minutes: float, poll_seconds: float) -> str:
    """Wait until the RayJob is complete.

    Raises:
        RuntimeError: it failed; the message says why.
        TimeoutError: it is not complete in time. It goes on, and running this step again goes on waiting.
    """
    import time

    from kubernetes import client, config

    config.load_config()
    jobs = client.CustomObjectsApi()
    kind = {"group": "ray.io", "version": "v1", "namespace": namespace, "plural": "rayjobs"}
    deadline = time.monotonic() + 60 * timeout_minutes
    seen = None
    while True:
        status: dict = {}
        try:
            status = jobs.get_namespaced_custom_object(**kind, name=name).get("status", {})
        except client.ApiException as error:
            if error.status == 404:
                raise RuntimeError(f"there is no RayJob {name} in {namespace}: it was deleted") from error
            # An API server that is away for a while does not end a sweep of hours.
            print(f"the Kubernetes API answers {error.status}; trying again")
        state = status.get("jobDeploymentStatus", "")
        if state != seen:
            print(f"RayJob {name}: {state or 'not started'}")
            seen = state
        if state == "Complete":
            return str(status.get("jobStatus", ""))
        if state == "Failed":
            raise RuntimeError(f"RayJob {name} failed: {status.get('reason', '')} {status.get('message', '')}")
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"RayJob {name} is {state or 'not started'} after {timeout_minutes:g} minutes; it goes on, "
                "and running the pipeline again goes on waiting"
            )
        time.sleep(poll_seconds)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def analyse(sweep: str, storage: str, endpoint: str, report: dsl.Output[dsl.Artifact]) -> None:
    """Make the report from the sweep's records.

    Args:
        sweep: the sweep's name.
        storage: where its records are.
        endpoint: of the S3 server; empty for AWS.
        report: a folder.
    """
    import os
    import subprocess
    import sys

    variables = {**os.environ, **({"AWS_ENDPOINT_URL": endpoint} if endpoint else {})}
    command = [sys.executable, "-m", "analysis", "--sweep", sweep, "--storage", storage, "--out", report.path]
    subprocess.run(command, check=True, env=variables)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def publish(report: dsl.Input[dsl.Artifact], page: dsl.Output[dsl.HTML], numbers: dsl.Output[dsl.Metrics]) -> str:
    """Show the report and its main numbers in the pipeline's UI; the answer in one sentence."""
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
    ) -> str:
        submitted = submit(rayjob=rayjob, namespace=namespace, sweep=sweep, arguments=arguments)
        waited = wait(
            name=submitted.output, namespace=namespace, timeout_minutes=timeout_minutes, poll_seconds=poll_seconds
        )
        analysed = analyse(sweep=sweep, storage=storage, endpoint=endpoint).after(waited)
        published = publish(report=analysed.outputs["report"])
        # Steps that look at the world run again each time.
        for task in (submitted, waited, analysed, published):
            task.set_caching_options(False)
            task.set_cpu_request("100m").set_memory_limit("2Gi")
        wanted = {"AWS_ACCESS_KEY_ID": "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY": "AWS_SECRET_ACCESS_KEY"}
        kubernetes.use_secret_as_env(analysed, secret_name="s3", secret_key_to_env=wanted)  # noqa: S106 -- a name
        analysed.set_env_variable("AWS_DEFAULT_REGION", "us-east-1")
        kubernetes.add_pod_label(analysed, "saliency-sweep/role", "pipeline")
        return published.outputs["Output"]

    return saliency_sweep


def rayjob_of(manifests: str) -> dict[str, Any]:
    """The one RayJob among rendered manifests."""
    (found,) = [m for m in yaml.safe_load_all(manifests) if m and m["kind"] == "RayJob"]
    return dict(found)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: kubectl kustomize k8s/sweeps/NAME | python pipeline.py OUT.yaml")
    compiler.Compiler().compile(make_pipeline(rayjob_of(sys.stdin.read())), str(Path(sys.argv[1])))
