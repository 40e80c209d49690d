"""The MLflow UI of the sweeps: `python -m driver.view.mlflow_ui`, which `make ui` runs, and the links into it."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from contextlib import closing, suppress
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console

from driver import UserError, user_errors
from driver.terminal import Terminal, say
from driver.upkeep.tracking import NONE, check_tracking_uri, missing_database
from records.database import DatabaseError, check_database
from records.mirror import MirrorError, experiments
from records.mirror_names import sweeps_link, trials_link
from records.secrets import MARK, scrub, scrub_urls

PROJECT = Path(__file__).resolve().parents[2]
HOST, PORT = "127.0.0.1", 5000
START, MOST = 180.0, 10
"""Seconds that a server may take to start; number of sweeps whose links are printed, the latest first."""


def server_of(tracking_uri: str) -> str | None:
    """The address of MLflow's UI, without a login; None if it is not known."""
    if tracking_uri.startswith("http"):
        return scrub_urls(tracking_uri).replace(f"{MARK}@", "").partition("?")[0]
    return None if tracking_uri.startswith("databricks") else f"http://{HOST}:{PORT}"


def where(tracking_uri: str, experiment_id: str | None) -> str:
    """The link to a sweep's trials, and the command that serves it."""
    if tracking_uri == NONE:
        return "not mirrored; --sync --tracking-uri sqlite:///mlflow.db mirrors the records"
    server = server_of(tracking_uri)
    if server is None:
        return scrub(tracking_uri)
    link = server if experiment_id is None else trials_link(server, experiment_id)
    if tracking_uri.startswith("http"):
        outside = "   (from outside the cluster: port-forward, see k8s/README.md)"
        return f"{link}{outside if _is_in_cluster(server) else ''}"
    known = tracking_uri in (os.environ.get("MLFLOW_TRACKING_URI"), f"sqlite:///{PROJECT / 'mlflow.db'}")
    variable = "" if known else f"MLFLOW_TRACKING_URI={shlex.quote(scrub(tracking_uri))} "
    return f"{link}   (served by {variable}make ui)"


def _is_in_cluster(server: str) -> bool:
    """Whether this process runs on Kubernetes and only the cluster knows the server's name."""
    host = urlsplit(server).hostname or ""
    internal = "." not in host or host.endswith((".svc", ".svc.cluster.local"))
    return "KUBERNETES_SERVICE_HOST" in os.environ and internal and host != "localhost"


def serve(tracking_uri: str, port: int, console: Console) -> None:
    """Serve a database's UI on the loopback interface by one worker process, print the links, and wait for Ctrl-C."""
    with socket.socket() as probe:
        if probe.connect_ex((HOST, port)) == 0:
            raise UserError(f"port {port} is in use; choose another: make ui MLFLOW_PORT={port + 1}")
    program = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    program += ["--uvicorn-opts", "--log-level warning"]
    # In the environment, as arguments are public and a database's address may hold a password.
    variables = {"MLFLOW_BACKEND_STORE_URI": tracking_uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore", **variables}
    # In a process group of its own, so that Ctrl-C reaches only this process, which then ends the server cleanly.
    with subprocess.Popen(program, env=environment, stdout=subprocess.DEVNULL, start_new_session=True) as server:
        try:
            _wait_for(port, server)
            show_links(tracking_uri, f"http://{HOST}:{port}", console)
            console.print("Ctrl-C ends it.")
            server.wait()
        except KeyboardInterrupt:
            pass
        finally:
            server.terminate()


def _wait_for(port: int, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), closing(HTTPConnection(HOST, port, timeout=2)) as connection:
            connection.request("GET", "/health")
            if connection.getresponse().status == HTTPStatus.OK:
                return
        time.sleep(0.2)
    raise UserError(f"MLflow does not start on port {port}; see its messages above")


def show_links(tracking_uri: str, address: str, console: Console) -> None:
    """Print the link of each of the latest sweeps, and open the first from a terminal on a graphical screen."""
    latest = list(experiments(tracking_uri).items())[:MOST]
    if not latest:
        say(console, f"MLflow on {address} has no sweep yet")
    for name, experiment_id in latest:
        say(console, f"{name}  {trials_link(address, experiment_id)}")
    if len(latest) > 1:
        say(console, f"All sweeps  {sweeps_link(address, [i for _, i in latest])}")
    screen = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if latest and screen and sys.stdout.isatty():
        webbrowser.open(trials_link(address, latest[0][1]))


def main(
    tracking_uri: Annotated[
        str | None,
        typer.Option(help="MLflow's database or server; default MLFLOW_TRACKING_URI, else sqlite:///mlflow.db."),
    ] = None,
    port: Annotated[int, typer.Option(help="Where a database is served, on 127.0.0.1.")] = PORT,
) -> None:
    """Print the links to the sweeps' trials in MLflow and open the latest; serve the UI of a database until Ctrl-C."""
    console = Terminal()
    try:
        uri = check_tracking_uri(tracking_uri)
        if uri == NONE:
            raise UserError("there is no MLflow: MLFLOW_TRACKING_URI is none")
        if missing_database(uri):
            raise UserError(f"there is no database at {uri}; run a sweep first, or set MLFLOW_TRACKING_URI")
        with user_errors(DatabaseError):
            check_database(uri)
        server = server_of(uri)
        if server is None:
            raise UserError(f"{scrub(uri)} has a UI of its own")
        if uri.startswith("http"):
            show_links(uri, server, console)
            return
        # If this process ends, so must the server, which is in a process group of its own.
        for end in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(end, signal.default_int_handler)
        serve(uri, port, console)
    except (UserError, MirrorError) as error:
        say(Terminal(stderr=True), f"ui: {error}", "red")
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
