"""`ray up` and `ray submit cluster/onprem.yaml sweep.py`, over ssh to machines in a network of namespaces."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from support.commands import ROOT
from support.machines import Machine, Network
from support.real_cluster import wait_until

pytestmark = pytest.mark.slow
SMALL = ("--set=n_train=64", "--set=n_valid=32", "--set=n_test=64", "--set=epochs=1", "--set=attribution_images=4")
STRANGERS = ROOT / "tests" / "support" / "strangers.py"
SSHD = """
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
StrictModes no
UsePAM no
PidFile none
Subsystem sftp internal-sftp
"""


@dataclass
class Machines:
    """One machine with a checkout, and two that accept its key."""

    laptop: Machine
    head: Machine
    worker: Machine
    key: Path


@pytest.fixture
def machines(tmp_path):
    key = tmp_path / "key"
    make_key(key)
    with Network() as network:
        laptop, head, worker = (network.add(name) for name in ("laptop", "head", "worker"))
        for machine in (head, worker):
            make_key(machine.folder / "host_key")
            shutil.copy(key.with_suffix(".pub"), machine.folder / "authorized_keys")
            (machine.folder / "sshd_config").write_text(SSHD.format(folder=machine.folder))
            sshd = shutil.which("sshd") or "/usr/sbin/sshd"
            machine.start("sshd.log", sshd, "-D", "-e", "-f", f"{machine.folder}/sshd_config")
        yield Machines(laptop, head, worker, key)


def make_key(path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def launcher_file(machines):
    """cluster/onprem.yaml with these machines and key, and without the slow installation of the project."""
    config = yaml.safe_load((ROOT / "cluster" / "onprem.yaml").read_text())
    config["provider"] |= {"head_ip": machines.head.address, "worker_ips": [machines.worker.address]}
    config["auth"] = {"ssh_user": "root", "ssh_private_key": str(machines.key)}
    token, closed, *install, environment, authentication = config["setup_commands"]
    assert len(install) == 4
    assert "pip install" in install[-1]
    programs = f"echo 'export PATH={Path(sys.executable).parent}:$PATH' >> ~/.bashrc"
    config["setup_commands"] = [token, closed, programs, environment, authentication]
    # Both machines have the processors of the host. The head could run all trials before the worker is ready.
    config["head_start_ray_commands"][-1] += " --num-cpus=0"
    config["worker_start_ray_commands"][-1] += " --num-cpus=1"
    return yaml.safe_dump(config)


def copy_checkout(folder):
    """Copy the files of this checkout that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def test_the_users_own_commands(machines, tmp_path):
    laptop = machines.laptop
    checkout, storage = tmp_path / "checkout", tmp_path / "shared"
    copy_checkout(checkout)
    (checkout / "cluster" / "onprem.yaml").write_text(launcher_file(machines))
    (checkout / "cluster" / "environment" / "sweep.env").write_text(f"SWEEP_STORAGE={storage}\n")
    (checkout / "mlflow.db").write_text("ignored by git, so it stays here")

    def launcher(command, *words, options=(), **how):
        """`ray COMMAND cluster/onprem.yaml …` in the checkout."""
        words = ("ray", command, "--no-config-cache", *options, "cluster/onprem.yaml", *words)
        return laptop.run(*words, cwd=checkout, **{"timeout": 400, **how})

    # As in README.md.
    laptop.run("sh", "-c", "umask 077; openssl rand -hex 32 > cluster/environment/auth_token", cwd=checkout)
    token = (checkout / "cluster" / "environment" / "auth_token").read_text().strip()
    up = launcher("up", options=["--yes"])
    assert "Useful commands" in up.stdout, up.stdout
    both = "2 local.cluster.node"
    wait_until(lambda: both in launcher("exec", "ray status", check=False).stdout, "the worker joins", 180)
    for machine in (machines.head, machines.worker):
        assert (machine.home / "project" / "driver").is_dir()
        for ignored in ("mlflow.db", "cluster/environment/sweep.env", "cluster/environment/auth_token"):
            assert not (machine.home / "project" / ignored).exists()
        assert (machine.home / "environment" / "auth_token").stat().st_mode & 0o777 == 0o600

    arguments = ("sweep.py", "--", "--space=smoke", "--max-trials=8", *SMALL)
    done = launcher("submit", *arguments, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8/8 trials done" in done.stdout
    records = [json.loads(path.read_text()) for path in (storage / "smoke" / "records").glob("*.json")]
    assert len(records) == 8
    assert {record["host"] for record in records} == {"worker"}
    assert {record["status"] for record in records} == {"completed"}

    again = launcher("submit", *arguments)
    assert "8 trials, 0 to run" in again.stdout, "the same command continues"

    wrong = launcher("submit", "sweep.py", "--", "--space=smok", check=False)
    assert wrong.returncode == 1, "`ray submit` has one code for all failures"
    assert "unknown space 'smok'" in wrong.stdout + wrong.stderr, "so the reason is said"

    check_a_wrong_token(launcher)
    check_dashboard(machines, launcher, token, checkout)
    for machine in (machines.head, machines.worker):
        check_strangers(laptop, machine)


def check_a_wrong_token(launcher):
    """`ray status` and a sweep report a wrong token and a missing one."""
    status = launcher("exec", "RAY_AUTH_TOKEN=wrong ray status", check=False)
    assert status.returncode != 0
    assert "Authentication token is missing or incorrect" in status.stdout + status.stderr
    sweep = "python ~/sweep.py --address auto --name other --max-trials 1"
    for variables, message in {
        "RAY_AUTH_TOKEN=wrong": "the cluster at --address 'auto' refuses the token in RAY_AUTH_TOKEN; set",
        "RAY_AUTH_TOKEN_PATH=/none": "no token in the file that RAY_AUTH_TOKEN_PATH names, '/none'; set",
    }.items():
        refused = launcher("exec", f"{variables} {sweep}", check=False)
        assert refused.returncode != 0
        # The output is coloured and wrapped.
        plain = re.sub(r"\x1b\[\d+m", "", refused.stdout)
        assert message in " ".join(plain.split()), refused.stdout


def check_dashboard(machines, launcher, token, checkout):
    """`ray dashboard` forwards it to the laptop, where it answers requests with the token."""
    forward = machines.laptop.command("ray", "dashboard", "--no-config-cache", "cluster/onprem.yaml", cwd=checkout)
    forwarding = subprocess.Popen(
        forward, env=machines.laptop.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    fetch = (
        "import sys, urllib.request as u\n"
        "headers = {'Authorization': f'Bearer {sys.argv[1]}'} if len(sys.argv) > 1 else {}\n"
        "print(u.urlopen(u.Request('http://127.0.0.1:8265/nodes?view=summary', headers=headers), timeout=5).read())"
    )
    try:
        open_page = ("python", "-c", fetch, token)
        wait_until(lambda: machines.laptop.run(*open_page, check=False).returncode == 0, "the dashboard answers", 60)
        assert '"hostname": "worker"' in machines.laptop.run(*open_page).stdout
        assert "401" in machines.laptop.run("python", "-c", fetch, check=False).stderr
        assert "403" in machines.laptop.run("python", "-c", fetch, "wrong", check=False).stderr
    finally:
        forwarding.terminate()
        forwarding.wait(30)


def check_strangers(laptop, machine):
    """Every port of a machine refuses a machine without the token."""
    seen = json.loads(laptop.run("python", str(STRANGERS), machine.address, timeout=300).stdout)
    assert sum("sshd" in port for port in seen.values()) == 1
    grpc = {number: port["grpc"] for number, port in seen.items() if "grpc" in port}
    assert len(grpc) >= 3, "Ray runs here"
    for number, port in grpc.items():
        assert port["answered"] == [], number
        assert port["refused"], f"{number} is of a service that this test does not know"
        asked = {method.split("/")[0] for method in port["refused"]}
        # The others belong to gRPC: health, services, connections.
        own = {service for service in port["services"] if not service.startswith("grpc.")}
        assert own <= asked, number
    http = {number: port["http"] for number, port in seen.items() if "http" in port}
    assert len(http) == 2, "Ray's agents; no metrics"
    for number, answers in http.items():
        # The agent's health is public.
        assert {path for path, status in answers.items() if status != 401} <= {"/api/healthz"}, number
