"""What all tests share: one thread, a small sweep made once by the real command, free loopback ports."""

import os
import socket

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
