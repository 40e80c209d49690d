"""Sweeps of a dozen short trials on a real Kubernetes, with what goes wrong on one; and a longer one.

After each there is one record and one finished MLflow run with its maps a trial, and the RayJob's status is true.
"""

import time

import pytest
from support.manifests import one
from support.real_cluster import SHORT, TRIALS, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
NO_ROOM_SECONDS = 420
MANY = 64


def check(sweep, trials=TRIALS, seconds=900):
    """A sweep that has succeeded and left all behind, with the answer at the end of its log."""
    assert sweep.wait(seconds) == "Complete", sweep.tell()
    assert sweep.status()["jobStatus"] == "SUCCEEDED"
    assert sweep.cluster.problems(sweep.name, trials) == []
    assert f"{trials}/{trials} trials done" in sweep.log() or f"{trials} trials, 0 to run" in sweep.log()
    assert "state-dump" not in sweep.log()
    assert "Traceback" not in sweep.log()
    assert "report.html" in sweep.end_of_log()


def test_first_of_all(cluster, start):
    """Both are applied at once on an empty cluster, with the requests as they stand: trials run before MLflow is up."""
    assert "kubectl apply -k" in cluster.install()
    sweep = start("first", small=False)
    sweep.apply()
    check(sweep)


def test_memory_suffices_for_long(services, start):
    """sweeps/cpu with the memory and the space that it has: the processes of its trials have grown to their full size.

    Afterwards the cluster is taken away, and the log stays.
    """
    sweep = start("long", small=False)
    _, options = one("cpu", "RayJob", "sweep")["spec"]["entrypoint"].split(" --address auto ")
    sweep.write(*options.split(), "--max-trials", str(MANY))
    sweep.apply()
    check(sweep, MANY, seconds=3600)
    assert "memory" not in sweep.log(), sweep.log()
    assert "again in" not in sweep.log(), sweep.log()
    wait_until(lambda: not services.get("rayclusters"), "the cluster is taken away", 180)
    assert "report.html" in sweep.end_of_log()


@pytest.mark.parametrize("lost", ["worker", "head", "mlflow", "postgres", "s3"])
def test_a_pod_is_killed(services, start, lost):
    sweep = start(f"lost-{lost}")
    sweep.apply()
    sweep.wait_for_records()
    services.kill(sweep.labels(lost) if lost in ("worker", "head") else f"saliency-sweep/role={lost}")
    check(sweep)


def test_the_driver_crashes(services, start):
    """The process, in a head that goes on: it is started again there."""
    sweep = start("crash")
    sweep.apply()
    sweep.wait_for_records()
    (head,) = services.pods(sweep.labels("head"))
    kill = (
        "import os, pathlib, signal\n"
        "for p in pathlib.Path('/proc').glob('[0-9]*/cmdline'):\n"
        "    words = p.read_bytes().split(b'\\0')\n"
        "    if any(word.endswith(b'/sweep.py') for word in words[:2]):\n"
        "        os.kill(int(p.parent.name), signal.SIGKILL); print(words)"
    )
    assert "sweep.py" in services.kubectl("exec", head, "--container", "ray-head", "--", "python", "-c", kill)
    check(sweep)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("typo", ("--set", "epoch=2"), "epochs"),
        ("closed", ("--storage", "s3://mlflow"), "the access key has no permission"),
    ],
)
def test_a_wrong_option_fails_at_once(services, start, name, options, message):
    """In one cluster, and with a message; corrected, the sweep runs."""
    sweep = start(name)
    sweep.write(*SHORT, *options)
    sweep.apply()
    assert sweep.wait() == "Failed"
    assert sweep.status()["jobStatus"] == "FAILED"
    assert sweep.status().get("failed", 1) == 1, "no second cluster was tried"
    assert message in sweep.end_of_log(), sweep.log()
    assert "again in" not in sweep.log()
    sweep.write()
    sweep.replace()
    check(sweep)


def test_storage_that_is_away_at_first(services, start):
    """Asked again, on the same cluster."""
    services.kubectl("scale", "statefulset/s3", "--replicas=0")
    try:
        wait_until(lambda: not services.pods("saliency-sweep/role=s3"), "the S3 server is away", 60)
        sweep = start("away")
        sweep.apply()
        wait_until(lambda: "again in 10 s" in sweep.log() or sweep.ended(), "the driver has given up once")
    finally:
        services.kubectl("scale", "statefulset/s3", "--replicas=1")
    check(sweep)


def test_a_wrong_image_is_corrected(services, start):
    sweep = start("image")
    sweep.write(image={"name": "saliency-sweep", "newName": "saliency-sweep.invalid/sweep", "newTag": "none"})
    sweep.apply()
    cluster = wait_until(lambda: sweep.status().get("rayClusterName"), "a Ray cluster", 60)
    pods = ("describe", "pods", "--selector", f"ray.io/cluster={cluster}")
    wait_until(lambda: "Failed to pull image" in services.kubectl(*pods), "kubectl describe says why", 120)
    assert "saliency-sweep.invalid/sweep:none" in services.kubectl(*pods)
    assert sweep.ended() == ""
    sweep.write()
    sweep.replace()
    check(sweep)


def test_two_side_by_side(services, start):
    left, right = start("left"), start("right")
    left.apply()
    right.apply()
    check(left)
    check(right)


def test_workers_come_as_trials_wait(services, start):
    """The autoscaler makes them, from none."""
    sweep = start("autoscaled", base="base")
    sweep.apply()
    sweep.wait_for_records()
    assert len(services.pods(sweep.labels("worker"))) == 2, "as many as it may make: each has two processors"
    check(sweep)


def test_queued_and_applied_twice(services, start):
    if not services.has_kueue:
        pytest.skip("the cluster has no Kueue")
    services.kubectl("apply", "--kustomize", "k8s/kueue")
    sweep = start("queued", components=["queued"])
    sweep.apply()
    sweep.wait_for_records(1)
    before = sweep.status()["rayClusterName"]
    sweep.apply()
    time.sleep(30)
    assert sweep.status()["rayClusterName"] == before, "the running sweep was not touched"
    check(sweep)
    assert sweep.status()["rayClusterName"] == before
    assert services.get("workloads"), "Kueue has admitted it"


def test_the_head_is_lost_while_no_node_has_room(services, start):
    sweep = start("no-room")
    sweep.apply()
    sweep.wait_for_records()
    nodes = [node["metadata"]["name"] for node in services.get("nodes")]
    services.kubectl("cordon", *nodes)
    try:
        services.kill(sweep.labels("head"))
        end = time.monotonic() + NO_ROOM_SECONDS
        while time.monotonic() < end:
            assert sweep.ended() == "", f"k8s/README.md: RAYJOB_STATUS_CHECK_TIMEOUT_SECONDS\n{sweep.tell()}"
            time.sleep(10)
    finally:
        services.kubectl("uncordon", *nodes)
    check(sweep)


def test_services_are_removed_and_installed_again(services, start):
    """Volumes and secrets stay, and so does all that was ever stored."""
    sweep = start("kept")
    sweep.apply()
    check(sweep)
    with services.bucket() as bucket:
        objects = {o.key: o.e_tag for o in bucket.objects.all()}
    runs = services.runs("kept")
    services.kubectl("delete", "--kustomize", str(services.folder / "services"))
    wait_for_removal(services)
    services.install()
    services.wait_for_services()
    with services.bucket() as bucket:
        assert {o.key: o.e_tag for o in bucket.objects.all()} == objects
    assert services.runs("kept") == runs
    sweep.replace()
    check(sweep)
    assert f"{TRIALS} trials, 0 to run" in sweep.log()


def wait_for_removal(services):
    gone = "the services are gone"
    wait_until(lambda: not services.pods("saliency-sweep/role in (s3, mlflow, postgres)"), gone, 120)


def lasting(cluster, sweep):
    """What a backup must keep: the records, the other files by digest, and MLflow's runs."""
    with cluster.bucket() as bucket:
        files = {o.key: o.e_tag for o in bucket.objects.filter(Prefix=f"{sweep}/artifacts/")}
    # The run has another identifier in another MLflow.
    records = {key: record | {"mlflow_run_id": None} for key, record in cluster.records(sweep).items()}
    runs, parents = cluster.runs(sweep)
    return records, files, sorted(runs, key=lambda run: run["trial_key"]), parents


def test_all_is_lost_and_restored(services, other_team, start):
    """Into new services with new volumes and passwords, from the S3 server of another namespace."""
    sweep = start("saved")
    sweep.apply()
    check(sweep)
    before = lasting(services, "saved")
    # The other namespace's S3 server takes connections from pipelines, as which backups count.
    services.kubectl("label", "--overwrite", "namespace", services.namespace, "saliency-sweep/pipelines=allowed")
    services.kubectl("apply", "--filename", "-", text=TO_THE_OTHER_SERVER)
    services.parts["components"] = ["backup"]
    services.install()
    values = other_team.secret("s3")
    values |= {"STORAGE": "s3://sweeps/backup", "AWS_ENDPOINT_URL": f"http://s3.{other_team.namespace}:8333"}
    give_keys = ("create", "secret", "generic", "backup", *(f"--from-literal={k}={v}" for k, v in values.items()))
    services.kubectl(*give_keys)
    assert "new or changed files copied to s3://sweeps/backup" in services.run_now("backup")

    services.remove()
    wait_for_removal(services)
    services.install()
    services.kubectl(*give_keys)
    services.wait_for_services()
    assert services.records("saved") == {}
    print(services.run_now("restore"))
    assert lasting(services, "saved") == before
    assert services.problems("saved") == []
    sweep.replace()
    check(sweep)
    assert f"{TRIALS} trials, 0 to run" in sweep.log()


TO_THE_OTHER_SERVER = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: backup}
spec:
  podSelector: {matchLabels: {saliency-sweep/role: pipeline}}
  policyTypes: [Egress]
  egress: [{ports: [{protocol: TCP, port: 8333}]}]
"""


def test_two_teams(services, other_team, start):
    """Sweeps of one name share nothing, and one team's installation is removed without harm to the other's."""
    ours, theirs = start("shared"), start("shared", other_team)
    ours.apply()
    theirs.apply()
    check(ours)
    check(theirs)
    hosts = [{r["host"] for r in cluster.records("shared").values()} for cluster in (services, other_team)]
    assert hosts[0].isdisjoint(hosts[1])
    theirs.delete()
    other_team.remove()
    # Without its priority class it would not be made again.
    services.kill("saliency-sweep/role=mlflow")
    services.wait_for_services()
