"""The stack of the manifests on one machine without containers: their very arguments, environment and names.

PostgreSQL, SeaweedFS, MLflow and Ray run in network namespaces in which the services have their names of the cluster.
"""

import json
import shlex
import shutil
from secrets import token_hex

import pytest
from support.by_hand import ByHand, rayjob_spec
from support.commands import ROOT, TINY
from support.machines import Network
from support.manifests import secrets
from support.real_cluster import wait_until
from support.services import PostgresServer

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
OVERLAY = "cpu"
SERVICES, HEAD = "10.77.0.2", "10.77.0.3"
TOKEN = token_hex(32)
# As the operator sets them where authOptions.mode is token.
AUTH = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
# The sweep takes seconds, and Ray's metrics come every ten.
QUICK = {"RAY_metrics_report_interval_ms": "500"}


def wait_for(machine, *words):
    wait_until(lambda: machine.run(*words, check=False).returncode == 0, " ".join(words), 90, every=0.5)


def fetch(machine, url, **options):
    """GET on the machine; fails unless the answer is 2xx."""
    code = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"
    return machine.run("python", "-c", code, url, **options)


@pytest.fixture
def programs():
    """The folder of PostgreSQL's programs."""
    server = PostgresServer()
    yield server._installed()
    server._temporary.cleanup()


def start_postgres(machine, hand, programs):
    """What the image's entry point does with its variables, then the server with the manifest's arguments."""
    variables = hand.variables("StatefulSet/postgres", "postgres")
    data = machine.folder / "postgres"
    data.mkdir()
    (data / "password").write_text(variables["POSTGRES_PASSWORD"])
    for path in (machine.folder, data, data / "password"):
        shutil.chown(path, "nobody")
    as_nobody = ("setpriv", "--reuid=nobody", "--clear-groups")
    machine.run(
        *as_nobody,
        *(str(programs / "initdb"), f"--pgdata={data}/pgdata", f"--username={variables['POSTGRES_USER']}"),
        *(f"--pwfile={data}/password", *shlex.split(variables["POSTGRES_INITDB_ARGS"])),
        cwd=data,
    )
    server = (str(programs / "postgres"), "-D", f"{data}/pgdata", "-c", f"unix_socket_directories={data}")
    arguments = hand.command("StatefulSet/postgres", "postgres")
    machine.start("postgres.log", *as_nobody, *server, *arguments)
    probe = hand.container("StatefulSet/postgres", "postgres")["readinessProbe"]["exec"]["command"]
    wait_for(machine, str(programs / probe[0]), *probe[1:])
    machine.run(
        *(str(programs / "createdb"), "--host=127.0.0.1", f"--username={variables['POSTGRES_USER']}"),
        variables["POSTGRES_DB"],
        variables={"PGPASSWORD": variables["POSTGRES_PASSWORD"]},
    )


def start_ray(head, worker):
    """A head and a worker by the RayJob's rayStartParams, as the operator turns them into `ray start`."""
    cluster = rayjob_spec(OVERLAY)["rayClusterSpec"]
    group = cluster["workerGroupSpecs"][0]
    # The operator takes the number of processors from the container's limits.
    cpus = worker.container("sweep/cpu", "ray-worker")["resources"]["limits"]["cpu"]
    for hand, pod, container, parameters, where in (
        (head, "head", "ray-head", cluster["headGroupSpec"]["rayStartParams"], ("--head", "--port=6379")),
        (worker, "cpu", "ray-worker", {**group["rayStartParams"], "num-cpus": cpus}, (f"--address={HEAD}:6379",)),
    ):
        options = [f"--{name}={value}" for name, value in parameters.items()]
        hand.machine.run(
            *("ray", "start", *where, *options, f"--node-ip-address={hand.machine.address}"),
            *("--disable-usage-stats", "--object-store-memory=100000000"),
            variables={**hand.variables(f"sweep/{pod}", container), **AUTH, **QUICK},
        )


@pytest.fixture
def pods():
    """The services on one machine, the head and the worker on one each, all with the cluster's names."""
    names = ("s3", "mlflow", "mlflow.saliency-sweep.svc.cluster.local")
    with Network() as network:
        inside = network.add("services", {"postgres": "127.0.0.1", **dict.fromkeys(names, "127.0.0.1")})
        outside = dict.fromkeys(names, SERVICES)
        machines = [inside, network.add("head", outside), network.add("worker", outside)]
        assert [machine.address for machine in machines[:2]] == [SERVICES, HEAD]
        yield [ByHand(OVERLAY, machine) for machine in machines]
        for machine in machines:
            for log in machine.folder.glob("*.log"):
                print(f"== {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-20:]))


def test_a_sweep_from_end_to_end(pods, programs):
    services, head, worker = pods
    start_postgres(services.machine, services, programs)
    services.start("StatefulSet/s3", "s3")
    for _ in range(2):
        assert "bucket mlflow exists" in services.run("Deployment/mlflow", "prepare"), "it may be repeated"
        assert "bucket sweeps exists" in services.run("Deployment/mlflow", "prepare-sweeps")
    services.start("Deployment/mlflow", "mlflow")
    wait_for(head.machine, "python", "-c", "import urllib.request as u; u.urlopen('http://mlflow:5000/health')")
    full_name = "http://mlflow.saliency-sweep.svc.cluster.local:5000/"
    assert "401" in fetch(head.machine, full_name, check=False).stderr, "allowed, but for the password"
    start_ray(head, worker)

    dashboard = ("--address", f"http://{HEAD}:8265")
    entrypoint = rayjob_spec(OVERLAY)["entrypoint"].replace("/app/", f"{ROOT}/")
    submit = ("ray", "job", "submit", *dashboard, "--no-wait", "--submission-id=sweep", "--")
    refused = worker.machine.run(*submit, "true", check=False)
    assert refused.returncode != 0, "the dashboard takes jobs with a token alone"
    worker.machine.run(*submit, *shlex.split(entrypoint), *TINY, "--name", "smoke", variables=AUTH)
    wait_for_metrics(worker.machine)
    status = wait_for_job(worker.machine, dashboard)
    logs = worker.machine.run("ray", "job", "logs", "sweep", *dashboard, variables=AUTH).stdout
    assert "succeeded" in status, logs
    assert "7/7 trials done" in logs
    assert "no node of the cluster has room" not in logs
    for hand in pods:
        # The pods' root file system is read-only: what they write goes to their volumes.
        assert [path.name for path in hand.machine.home.iterdir() if path.name != ".bashrc"] == []
    check_bucket(head.machine, head)
    experiment = check_mlflow(head.machine, head)
    check_login(services.machine, experiment)


def wait_for_metrics(machine):
    """Until Prometheus would find the running trials, on the port that the manifest names."""
    port = rayjob_spec(OVERLAY)["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["metrics-export-port"]

    def are_shown():
        lines = fetch(machine, f"http://{HEAD}:{port}/metrics", check=False).stdout.splitlines()
        lines = [line for line in lines if line.startswith("ray_saliency_sweep_trials{")]
        return any('state="running"' in line and 'sweep="smoke"' in line for line in lines)

    wait_until(are_shown, "the metrics of running trials", 180, every=0.5)


def wait_for_job(machine, dashboard):
    def final_state():
        status = machine.run("ray", "job", "status", "sweep", *dashboard, variables=AUTH).stdout
        return status if "succeeded" in status or "failed" in status else ""

    return wait_until(final_state, "the job ends", 400)


def check_bucket(machine, hand):
    """The report and all records are in the bucket, and the bucket is closed to others."""
    code = (
        "import boto3, json\n"
        "pages = boto3.client('s3').get_paginator('list_objects_v2').paginate(Bucket='sweeps')\n"
        "print(json.dumps([item['Key'] for page in pages for item in page.get('Contents', [])]))"
    )
    variables = hand.variables("sweep/head", "ray-head")
    names = json.loads(machine.run("python", "-c", code, variables=variables).stdout)
    assert sum(name.startswith("smoke/records/") for name in names) == 7
    assert {"smoke/report/report.html", "smoke/report/report.json", "smoke/trials.parquet"} <= set(names)
    other = "import boto3; boto3.client('s3').list_objects_v2(Bucket='mlflow')"
    refused = machine.run("python", "-c", other, variables=variables, check=False)
    assert "AccessDenied" in refused.stderr, "a sweep's key opens the sweeps' bucket alone"
    anonymous = fetch(machine, "http://s3:8333/sweeps/smoke/report/report.json", check=False)
    assert "403" in anonymous.stderr


def check_mlflow(machine, hand):
    """Parent and children are there, with the report, through the name that pods use."""
    code = (
        "import json\nfrom mlflow import MlflowClient\n"
        "client = MlflowClient()\n"
        "experiment = client.get_experiment_by_name('smoke').experiment_id\n"
        "runs = client.search_runs([experiment])\n"
        "parent = next(run for run in runs if run.data.tags['kind'] == 'sweep')\n"
        "files = [f.path for f in client.list_artifacts(parent.info.run_id)]\n"
        "print(json.dumps([len(runs), files, experiment]))"
    )
    variables = hand.variables("sweep/head", "ray-head")
    shown = machine.run("python", "-c", code, variables=variables).stdout
    count, files, experiment = json.loads(shown.splitlines()[-1])
    assert count == 8
    assert any("report" in name for name in files)
    wrong = variables | {"MLFLOW_TRACKING_PASSWORD": "wrong"}
    assert machine.run("python", "-c", code, variables=wrong, check=False).returncode != 0
    request = "u.Request('http://mlflow:5000/', headers={'Host': 'evil.example'})"
    other_name = machine.run("python", "-c", f"import urllib.request as u; u.urlopen({request})", check=False)
    assert "403" in other_name.stderr, "other host names are refused"
    return experiment


def check_login(machine, experiment):
    """A browser without the password sees nothing, with it the sweep."""
    browse = ("python", str(ROOT / "tests" / "support" / "browse.py"))
    page = f"localhost:5000/#/experiments/{experiment}/runs"
    assert "smoke" not in machine.run(*browse, f"http://{page}", "2", check=False).stdout
    login = "{MLFLOW_TRACKING_USERNAME}:{MLFLOW_TRACKING_PASSWORD}".format_map(secrets()["mlflow-client"])
    seen = machine.run(*browse, f"http://{login}@{page}", "60", "smoke").stdout
    assert "smoke" in seen, seen
