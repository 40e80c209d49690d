"""The start of Ray on this machine, also with slow processes."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from rich.console import Console
from support.commands import PATIENCE, environment

from driver import StoppedError
from driver.ray import start

TIMEOUT = "The current node timed out during startup. This could happen because some of the raylet failed"


@pytest.fixture
def ray_init(monkeypatch, tmp_path):
    """ray_init(errors): calls of ray.init raise these in turn, None for none, and leave a process and a folder each."""
    import ray

    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    for name in start.PATIENCE:
        monkeypatch.delenv(name, raising=False)
    started, settings = [], []

    def install(*errors):
        def init(*_, **__):
            settings.append({name: os.environ.get(name) for name in start.PATIENCE})
            (tmp_path / "ray" / f"session_{len(started)}_{os.getpid()}").mkdir(parents=True)
            started.append(subprocess.Popen(["sleep", "600"]))
            if error := errors[len(started) - 1]:
                raise error

        monkeypatch.setattr(ray, "init", init)
        return started, settings

    yield install
    for process in started:
        process.kill()
        process.wait()


def test_a_second_try_starts_afresh(ray_init, tmp_path, capsys):
    started, settings = ray_init(Exception(TIMEOUT), None)
    start.start_local(2, 0, Console(width=300))
    assert [psutil.pid_exists(process.pid) for process in started] == [False, True]
    assert [path.name for path in (tmp_path / "ray").iterdir()] == [f"session_1_{os.getpid()}"]
    assert settings == [start.PATIENCE, {name: str(2 * int(value)) for name, value in start.PATIENCE.items()}]
    assert capsys.readouterr().out == f"Ray did not start ({TIMEOUT}); trying once more, with more time\n"


def test_there_is_no_third_try(ray_init, tmp_path):
    started, _ = ray_init(RuntimeError("Timed out waiting for file gcs_server_port"), Exception(TIMEOUT))
    with pytest.raises(StoppedError, match=r"two tries \(The current node timed out.*repeat the command") as raised:
        start.start_local(2, 0, Console())
    assert f"{tmp_path}/ray/session_1_{os.getpid()}/logs" in str(raised.value)
    assert not any(psutil.pid_exists(process.pid) for process in started)


@pytest.mark.parametrize("error", [ValueError("bad num_cpus"), PermissionError(13, "Permission denied")])
def test_an_error_that_would_repeat_is_raised_at_once(error, ray_init):
    started, _ = ray_init(error)
    with pytest.raises(type(error), match=str(error.args[-1])):
        start.start_local(2, 0, Console())
    assert [psutil.pid_exists(process.pid) for process in started] == [False]


@pytest.mark.parametrize("existing", [None, "made by Ray"])
def test_only_the_user_reads_the_token_of_local_sessions(existing, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    token = tmp_path / ".ray" / "auth_token"
    if existing is not None:
        token.parent.mkdir()
        token.write_text(existing)
        token.chmod(0o644)
    start._make_token()
    assert token.stat().st_mode & 0o777 == 0o600
    text = token.read_text()
    assert text == existing if existing else len(text) == 64
    start._make_token()
    assert token.read_text() == text
    assert list(token.parent.iterdir()) == [token]


def test_no_token_is_made_where_none_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    start._make_token()
    assert list(tmp_path.iterdir()) == []


def test_the_users_settings_stay(ray_init, monkeypatch):
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "7")
    _, settings = ray_init(None)
    start.start_local(2, 0, Console())
    assert settings == [start.PATIENCE | {"RAY_raylet_start_wait_time_s": "7"}]


SLOW_AGENTS = """
import sys, time
if any(argument.endswith("agent.py") or "runtime_env/agent" in argument for argument in sys.orig_argv):
    time.sleep(25)
"""
START = """
import ray
from rich.console import Console
from driver.ray.start import start_local
start_local(1, 0, Console())
print(ray.get(ray.remote(lambda: 'a task ran').remote()))
"""


@pytest.mark.slow
def test_agents_that_take_longer_than_the_raylet_waits_for_their_ports(tmp_path):
    """Fifteen seconds, which no setting of Ray's changes."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_AGENTS)
    root = Path(start.__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", START],
        env=environment(PYTHONPATH=f"{tmp_path}:{root}"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stdout == "a task ran\n", done.stdout + done.stderr
