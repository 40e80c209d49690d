"""What all tests share: one thread, a small sweep made once by the real command, free loopback ports."""

import json
import os
import subprocess
import sys
from dataclasses import asdict

import pytest
from filelock import FileLock
from support.commands import TINY, Ran, TinySweep, run_sweep
from support.need import need
from support.services import free_ports

os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["support.service_fixtures", "support.browser_fixtures"]
LIMIT = 2.0
"""Seconds of processor time, its child processes' included, that a test without the marker `slow` may take."""
ALLOWANCE = 3.0
"""Times the limit at which a test fails: the first use of a library may fall to any test, and a machine may be slow."""


def processor_seconds() -> float:
    """Of this process and of the child processes that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Fail a quick test that is not quick. Processor time, as a busy machine makes every test long by the clock."""
    start = processor_seconds()
    result = yield
    seconds = processor_seconds() - start
    if seconds > LIMIT * ALLOWANCE and not item.get_closest_marker("slow"):
        pytest.fail(f"took {seconds:.1f} s of processor time, over {LIMIT * ALLOWANCE:g} s; shorten it or mark it slow")
    return result


@pytest.fixture(scope="session")
def tiny_sweep(tmp_path_factory) -> TinySweep:
    """Made by whichever test process comes first."""
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
        need("a small disk is made of Linux's tmpfs")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        need(f"mounting a small disk is not permitted here: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
