"""Starts Ray on this machine, with more patience than Ray has by default, since other programs may slow it down."""

import atexit
import os
import random
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from driver import StoppedError
from driver.terminal import say

SECONDS = 180
"""How long Ray may take to start each of its processes; its own limits are 30 and 60 seconds."""

PATIENCE = {
    # Read by ray.init and `ray start`: for the head's server to start, and for the node to register with it.
    "RAY_gcs_server_port_wait_time_s": str(SECONDS),
    "RAY_raylet_start_wait_time_s": str(SECONDS),
    # Read by the node's raylet: for its agents, and for the processes of trials.
    "RAY_agent_register_timeout_ms": str(1000 * SECONDS),
    "RAY_worker_register_timeout_seconds": str(SECONDS),
}
QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
SERVERS = ("raylet", "gcs_server")
"""The processes without which Ray cannot go on."""
WATCH_EVERY = 0.2
"""Seconds between two looks at them."""
AGENT_PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")


def start_local(cpus: int | None, gpus: int | None, console: Console) -> None:
    """Start Ray for this process with so many processors and GPUs, None for all. The second try has twice the time."""
    os.environ.update({name: os.environ.get(name, value) for name, value in PATIENCE.items()})
    _make_token()
    for is_last in (False, True):
        try:
            _init(cpus, gpus)
            return
        except _NotUpError as error:
            root = Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or tempfile.gettempdir(), "ray")
            session = max(root.glob(f"session_*_{os.getpid()}"), default=root / "session_latest")
            if is_last:
                raise StoppedError(
                    f"Ray did not start on this machine in two tries ({error}); its logs are in {session}/logs. Other "
                    "programs may leave it too little time or memory: repeat the command when fewer are running"
                ) from None
            shutil.rmtree(session, ignore_errors=True)
            os.environ.update({name: str(2 * int(os.environ[name])) for name in PATIENCE})
            say(console, f"Ray did not start ({error}); trying once more, with more time", "yellow")


@contextmanager
def watched(lost: Callable[[str], object]) -> Iterator[None]:
    """A block that needs the Ray of this process, which ends with it.

    `lost` is called with the reason if one of Ray's servers ends first: Ray's core would end this process, too,
    up to a minute later and without a message that helps.
    """
    import ray
    from ray._private import worker

    node, left = worker._global_node, threading.Event()
    dead: list[str] = []

    def watch() -> None:
        while not (dead or left.wait(WATCH_EVERY)):
            dead.extend(kind for kind, _ in node.dead_processes() if kind in SERVERS)
        if dead:
            # The processes of trials end when they find the raylet gone.
            node.kill_all_processes(check_alive=False)
            # Called before Ray's own handler, which would wait a minute for the servers.
            atexit.register(os._exit, StoppedError.exit_code)
            lost(f"Ray's process {dead[0]} ended unexpectedly, perhaps killed for memory")

    thread = threading.Thread(target=watch, name="ray", daemon=True)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()
        if not dead:
            ray.shutdown()


def _make_token() -> None:
    """Make the token of this user's local sessions, if it is missing, and let only the user read it; Ray lets all."""
    if os.environ.get("RAY_AUTH_MODE", "token") != "token" or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & {*os.environ}:
        return
    path = Path.home() / ".ray" / "auth_token"
    if path.is_file():
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent) as file:  # mode 600
        file.write(secrets.token_hex(32))
        file.flush()
        # Of two commands that start together, the second keeps the token of the first.
        with suppress(FileExistsError):
            os.link(file.name, path)


class _NotUpError(Exception):
    """Ray's processes did not come up in time."""


def _init(cpus: int | None, gpus: int | None) -> None:
    """Call ray.init; if it fails, end the processes that it started. Errors other than _NotUpError would repeat."""
    import ray  # here, as loading it takes seconds

    before = set(psutil.Process().children(recursive=True))
    try:
        with _chosen_ports():
            ray.init("local", num_cpus=cpus, num_gpus=gpus, include_dashboard=False, **QUIET)
    except Exception as error:
        ray.shutdown()
        started = set(psutil.Process().children(recursive=True)) - before
        for process in started:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(started, timeout=10)
        # Ray raises a bare Exception for a node that does not register in time.
        kinds = (RuntimeError, ConnectionError, TimeoutError, ray.exceptions.RaySystemError)
        if isinstance(error, kinds) or type(error) is Exception:
            raise _NotUpError((str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")) from error
        raise


@contextmanager
def _chosen_ports() -> Iterator[None]:
    """Choose the ports of a starting node's agents, and write them where the raylet looks.

    For ports that the agents choose, the raylet waits only 15 seconds, whatever the settings say:
    https://github.com/ray-project/ray/issues/65983. Remove this once Ray has a setting for it.
    """
    from ray._private.node import Node

    original = Node.start_raylet

    def start_raylet(node: Any, *arguments: Any, **options: Any) -> None:
        for name, port in zip(AGENT_PORTS, _free_ports(), strict=False):
            setattr(node._ray_params, name, port)
            Path(node._session_dir, f"{name}_{node._node_id}").write_text(str(port))
        original(node, *arguments, **options)

    Node.start_raylet = start_raylet
    try:
        yield
    finally:
        Node.start_raylet = original


def _free_ports() -> Iterator[int]:
    """Free ports below those that the system assigns, since an agent may take a minute to open its port."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 1000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("", port))
            yield port
