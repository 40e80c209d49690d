"""The limit on a quick test's time is a report, not a failure."""

import subprocess
import sys

from support.commands import PATIENCE, ROOT, environment

BUSY = """
import time
import conftest
import pytest

conftest.LIMIT = 0.02

def busy():
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass

def test_busy(): busy()
def test_idle(): time.sleep(0.2)

@pytest.mark.slow
def test_marked(): busy()
"""


def test_a_quick_test_that_takes_long_is_listed_and_passes(tmp_path):
    (tmp_path / "test_busy.py").write_text(BUSY)
    options = ("-q", "-p", "conftest", "-p", "no:cacheprovider", "-m", "", f"--config-file={ROOT / 'pyproject.toml'}")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--rootdir={tmp_path}", "--jaxtyping-packages=", str(tmp_path)],
        env=environment(PYTHONPATH=f"{ROOT}:{ROOT / 'tests'}", CI="true"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    listed = [line.split("::")[1] for line in done.stdout.splitlines() if "s of processor time (limit" in line]
    assert listed == ["test_busy"]
