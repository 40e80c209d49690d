"""`ray up` and `ray submit cluster/onprem.yaml sweep.py`, for real: over ssh to machines of a network of namespaces."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from support.commands import ROOT
from support.machines import Machine, Network, why_not

pytestmark = [pytest.mark.slow, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]
SMALL = ("--set=n_train=64", "--set=n_valid=32", "--set=n_test=64", "--set=epochs=1", "--set=attribution_images=4")
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
    """One with a checkout, and two that let its key in."""

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
    """cluster/onprem.yaml with these machines and key, and without the minutes that installing the project takes."""
    config = yaml.safe_load((ROOT / "cluster" / "onprem.yaml").read_text())
    config["provider"] |= {"head_ip": machines.head.address, "worker_ips": [machines.worker.address]}
    config["auth"] = {"ssh_user": "root", "ssh_private_key": str(machines.key)}
    *install, environment = config["setup_commands"]
    assert len(install) == 4
    assert "pip install" in install[-1]
    programs = f"echo 'export PATH={Path(sys.executable).parent}:$PATH' >> ~/.bashrc"
    config["setup_commands"] = [programs, environment]
    # Both machines have the processors of this one. A quick head could run all trials before the other is ready.
    config["head_start_ray_commands"][-1] += " --num-cpus=0"
    config["worker_start_ray_commands"][-1] += " --num-cpus=1"
    return yaml.safe_dump(config)


def wait_for_worker(head):
    deadline = time.monotonic() + 180
    while "2 local.cluster.node" not in (status := head.run("ray", "status", check=False).stdout):
        assert time.monotonic() < deadline, status
        time.sleep(2)


def copy_checkout(folder):
    """What git has of this checkout."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def test_the_users_own_commands(machines, tmp_path):
    laptop, head = machines.laptop, machines.head
    checkout, storage = tmp_path / "checkout", tmp_path / "shared"
    copy_checkout(checkout)
    (checkout / "cluster" / "onprem.yaml").write_text(launcher_file(machines))
    (checkout / "cluster" / "environment" / "sweep.env").write_text(f"SWEEP_STORAGE={storage}\n")
    (checkout / "mlflow.db").write_text("ignored by git, so it stays here")

    up = laptop.run("ray", "up", "--yes", "--no-config-cache", "cluster/onprem.yaml", cwd=checkout, timeout=300)
    assert "Useful commands" in up.stdout, up.stdout
    wait_for_worker(head)
    for machine in (head, machines.worker):
        assert (machine.home / "project" / "driver").is_dir()
        assert not (machine.home / "project" / "mlflow.db").exists()
        assert not (machine.home / "project" / "cluster" / "environment" / "sweep.env").exists()

    submit = ("ray", "submit", "--no-config-cache", "cluster/onprem.yaml", "sweep.py", "--")
    arguments = ("--space=smoke", "--max-trials=8", *SMALL)
    done = laptop.run(*submit, *arguments, cwd=checkout, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8/8 trials done" in done.stdout
    records = [json.loads(path.read_text()) for path in (storage / "smoke" / "records").glob("*.json")]
    assert len(records) == 8
    assert {record["host"] for record in records} == {"worker"}
    assert {record["status"] for record in records} == {"completed"}

    again = laptop.run(*submit, *arguments, cwd=checkout, timeout=200)
    assert "8 trials, 0 to run" in again.stdout, "the same command continues"

    wrong = laptop.run(*submit, "--space=smok", cwd=checkout, timeout=200, check=False)
    assert wrong.returncode == 1, "`ray submit` has one code for all failures"
    assert "unknown space 'smok'" in wrong.stdout + wrong.stderr, "so the reason is said"
