"""A server of the tests ends with its block, and with a test process that is killed."""

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


def test_a_server_ends_with_its_block_or_the_process_that_started_it_and_leaves_nothing():
    with PostgresServer() as server:
        pid = server.process.pid
        assert server.ready()
    command = [sys.executable, "-c", KILLED_WITH_A_SERVER]
    output = subprocess.run(command, cwd=ROOT / "tests", capture_output=True, text=True, timeout=PATIENCE).stdout
    other_pid, other_folder = output.split()
    deadline = time.monotonic() + PATIENCE
    while any(map(psutil.pid_exists, (pid, int(other_pid)))) or server.folder.exists() or Path(other_folder).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
