"""`python strangers.py HOST`: the answers of a machine of a Ray cluster to a client without a token, as JSON."""

import importlib
import json
import pkgutil
import re
import socket
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from itertools import compress

SECONDS = 5.0
# Services that Ray's wheel does not describe to Python.
CORE_WORKER = ("PushTask", "GetObjectStatus", "KillActor", "Exit", "CancelTask", "GetCoreWorkerStats")
ONLY_IN_CPP = {
    "ray.rpc.syncer.RaySyncer": ("StartSync",),
    "ray.rpc.ObjectManagerService": ("Push", "Pull", "FreeObjects"),
    "ray.rpc.CoreWorkerService": CORE_WORKER,
}
# Without it, a request to ray.rpc.syncer.RaySyncer ends the head of Ray 2.60, with or without token.
A_NODE = (("node_id", "ab" * 28),)
PATHS = ("/", "/metrics", "/api/jobs/", "/api/version", "/nodes?view=summary", "/api/healthz", "/logs/")


def is_open(host: str, port: int) -> bool:
    """Whether a TCP port accepts a connection."""
    with socket.socket() as probe:
        probe.settimeout(SECONDS)
        return probe.connect_ex((host, port)) == 0


def is_sshd(host: str, port: int) -> bool:
    """Whether a server introduces itself as an sshd."""
    with socket.create_connection((host, port)) as probe, suppress(TimeoutError):
        probe.settimeout(0.5)
        return probe.recv(4) == b"SSH-"
    return False


def http_answers(host: str, port: int) -> dict[str, int]:
    """The HTTP status of each of `PATHS` that the server answers."""
    answers = {}
    for path in PATHS:
        try:
            with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=SECONDS) as answer:
                answers[path] = answer.status
        except urllib.error.HTTPError as error:
            answers[path] = error.code
        except (OSError, HTTPException):
            continue
    return answers


def ray_methods() -> dict[str, tuple[str, ...]]:
    """The methods of all of Ray's gRPC services, by service."""
    import ray.core.generated

    services = dict(ONLY_IN_CPP)
    for module in pkgutil.iter_modules(ray.core.generated.__path__):
        if module.name.endswith("_pb2"):
            described = importlib.import_module(f"ray.core.generated.{module.name}").DESCRIPTOR
            for service in described.services_by_name.values():
                services[service.full_name] = tuple(method.name for method in service.methods)
    return services


def grpc_answers(host: str, port: int) -> dict[str, list[str]]:
    """The services that a gRPC server lists, the methods that refuse a request, and those that do not."""
    import grpc

    answers: dict[str, list[str]] = {"services": [], "refused": [], "answered": []}
    with grpc.insecure_channel(f"{host}:{port}") as channel:

        def ask(path: str) -> str:
            try:
                channel.unary_unary(path)(b"", timeout=SECONDS, metadata=A_NODE)
            except grpc.RpcError as error:
                return str(error.code().name)
            return "OK"

        if ask("/ray.rpc.NodeInfoGcsService/CheckAlive") == "UNAVAILABLE":
            raise ConnectionError(f"port {port} speaks neither HTTP nor gRPC")
        for service, methods in ray_methods().items():
            for method in methods:
                status = ask(f"/{service}/{method}")
                if status != "UNIMPLEMENTED":
                    answers["refused" if status == "UNAUTHENTICATED" else "answered"].append(f"{service}/{method}")
        # gRPC's own list of a server's services: request number 7 of ServerReflectionRequest.
        listing = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        with suppress(grpc.RpcError):
            text = b"".join(listing(iter([b"\x3a\x01*"]), timeout=SECONDS)).decode(errors="replace")
            answers["services"] = sorted(set(re.findall(r"(?:ray|grpc)\.[\w.]+", text)))
    return answers


def answers(host: str, port: int) -> dict[str, object]:
    """The answers of a port, by its protocol."""
    if is_sshd(host, port):
        return {"sshd": True}
    if http := http_answers(host, port):
        return {"http": http}
    return {"grpc": grpc_answers(host, port)}


if __name__ == "__main__":
    host, ports, seen = sys.argv[1], range(1, 2**16), {}
    with ThreadPoolExecutor(64) as pool:
        is_used = list(pool.map(lambda port: is_open(host, port), ports))
    for port in compress(ports, is_used):
        try:
            seen[port] = answers(host, port)
        except ConnectionError:
            # The process may have ended.
            if is_open(host, port):
                raise
    print(json.dumps(seen))
