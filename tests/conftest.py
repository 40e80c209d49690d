"""What all tests share: one thread, a small sweep made once by the real command, free loopback ports."""

import os
import socket
import subprocess
import sys

import pytest
from commands import TINY, TinySweep, run_sweep

os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["service_fixtures"]


@pytest.fixture(scope="session")
def tiny_sweep(tmp_path_factory) -> TinySweep:
    folder = tmp_path_factory.mktemp("tiny")
    return TinySweep(folder, run_sweep(folder, *TINY, "--name", "tiny"))


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not sys.platform.startswith("linux"):
        pytest.skip("a small disk is made of Linux's tmpfs")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting a small disk is not permitted here: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
