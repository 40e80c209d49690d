"""The servers of the tests end with their block, and with a test process that is killed."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support.commands import PATIENCE, ROOT
from support.services import PostgresServer

pytestmark = pytest.mark.slow

KILLED_WITH_A_SERVER = """
import os, signal
from support.services import PostgresServer
server = PostgresServer().__enter__()
print(server.process.pid, server.folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def assert_gone(pid, folder):
    """A process and a folder disappear in time."""
    deadline = time.monotonic() + PATIENCE
    while psutil.pid_exists(pid) or folder.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_ends_with_its_block_and_leaves_nothing():
    with PostgresServer() as server:
        pid = server.process.pid
        assert server.ready()
    assert_gone(pid, server.folder)


def test_a_server_ends_with_the_process_that_started_it():
    command = [sys.executable, "-c", KILLED_WITH_A_SERVER]
    output = subprocess.run(command, cwd=ROOT / "tests", capture_output=True, text=True, timeout=PATIENCE).stdout
    pid, folder = output.split()
    assert_gone(int(pid), Path(folder))
