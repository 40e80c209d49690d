"""Shared by all tests: one thread, a small sweep made once by the real command, free loopback ports."""

import json
import os
import subprocess
import sys
from dataclasses import asdict

import pytest
from filelock import FileLock
from support.commands import TINY, Ran, TinySweep, run_sweep
from support.need import need
from support.power import BreakableDisk
from support.services import free_ports

os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["support.service_fixtures", "support.browser_fixtures"]


@pytest.fixture(scope="session")
def tiny_sweep(tmp_path_factory) -> TinySweep:
    """A small finished sweep, made by the first test process that needs it."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "tiny"
    with FileLock(shared / "tiny.lock"):
        if not (shared / "tiny.json").exists():
            folder.mkdir(exist_ok=True)
            ran = run_sweep(folder, *TINY, "--name", "tiny")
            (shared / "tiny.json").write_text(json.dumps(asdict(ran)))
    return TinySweep(folder, Ran(**json.loads((shared / "tiny.json").read_text())))


@pytest.fixture
def free_port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not sys.platform.startswith("linux"):
        need("a small disk needs Linux's tmpfs")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        need(f"mounting a small disk is not permitted here: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.fixture
def breakable_disk(tmp_path):
    """A disk whose power can be cut."""
    try:
        disk = BreakableDisk(tmp_path)
    except OSError as error:
        need(f"making a disk in a file is not permitted here: {error}")
    try:
        yield disk
    finally:
        disk.remove()
