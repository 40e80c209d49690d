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
from support.services import free_ports

os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["support.service_fixtures", "support.browser_fixtures"]
LIMIT = 2.0
"""Seconds of processor time, its child processes' included, that a test without the marker `slow` should take."""
ALLOWANCE = 3.0
"""Multiple of the limit from which a test is reported, as any test may be the first to use a library."""
SECONDS = "processor seconds"


def processor_seconds() -> float:
    """Processor time of this process and of its finished child processes."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Measure a quick test in processor time, since a busy machine makes every test slow by the clock."""
    start = processor_seconds()
    result = yield
    if not item.get_closest_marker("slow"):
        item.user_properties.append((SECONDS, processor_seconds() - start))
    return result


def pytest_terminal_summary(terminalreporter):
    """List quick tests that take too long. They do not fail, since the processor may be slow."""
    reports = [report for report in terminalreporter.getreports("passed") if report.when == "call"]
    seconds = {report.nodeid: dict(report.user_properties).get(SECONDS, 0.0) for report in reports}
    over = {test: taken for test, taken in seconds.items() if taken > LIMIT * ALLOWANCE}
    if over:
        terminalreporter.section("quick tests that take long: shorten them or mark them slow")
        for test, taken in sorted(over.items(), key=lambda entry: -entry[1]):
            terminalreporter.line(f"{taken:.1f} s of processor time (limit {LIMIT * ALLOWANCE:g} s)  {test}")


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
