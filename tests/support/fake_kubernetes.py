"""The part of a Kubernetes API server that RayJobs need, on a free port of 127.0.0.1, with a kubeconfig."""

import json
import uuid
from collections.abc import Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import yaml

COLLECTION = "/apis/ray.io/v1/namespaces/saliency-sweep/rayjobs"
WORKFLOWS = "/apis/argoproj.io/v1alpha1/namespaces/kubeflow/workflows"
TOKEN = "token-of-the-pipeline"


class FakeKubernetes:
    """A store of RayJobs. Each time one is read, its status advances through `states`; the last one stays.

    A state is the content of `status`, or a number: an HTTP status that is returned once instead. Every run of the
    pipeline has one workflow; `cancelled` says whether Kubeflow cancelled it.
    """

    def __init__(self, folder: Path, states: Sequence[dict[str, Any] | int]):
        self.states = list(states)
        self.jobs: dict[str, dict[str, Any]] = {}
        self.cancelled = False
        self.requests: list[str] = []
        self.kubeconfig = folder / "kubeconfig"

    def __enter__(self) -> Self:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.thread = Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        cluster = {"server": f"http://127.0.0.1:{self.server.server_port}"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": cluster}],
            "users": [{"name": "fake", "user": {"token": TOKEN}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
            "current-context": "fake",
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def verbs(self) -> list[str]:
        """The verbs of the requests, without repetitions in a row."""
        asked = [request.split()[0] for request in self.requests]
        return [verb for n, verb in enumerate(asked) if n == 0 or verb != asked[n - 1]]

    def create(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name = body["metadata"]["name"]
        if name in self.jobs:
            return 409, {"reason": "AlreadyExists"}
        body["metadata"]["uid"] = str(uuid.uuid4())
        self.jobs[name] = body
        return 201, body

    def patch(self, name: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        metadata = self.jobs[name]["metadata"]
        if body["metadata"]["uid"] != metadata["uid"]:
            return 409, {"reason": "Conflict"}
        metadata["labels"] |= body["metadata"]["labels"]
        return 200, self.jobs[name]

    def list(self, selector: str) -> tuple[int, dict[str, Any]]:
        key, value = selector.split("=")
        return 200, {"items": [job for job in self.jobs.values() if job["metadata"]["labels"][key] == value]}

    def workflows(self) -> tuple[int, dict[str, Any]]:
        return 200, {"items": [{"spec": {"activeDeadlineSeconds": 0} if self.cancelled else {}}]}

    def get(self, name: str) -> tuple[int, dict[str, Any]]:
        if name not in self.jobs:
            return 404, {"reason": "NotFound"}
        if self.states:
            state = self.states[0]
            if len(self.states) > 1:
                self.states.pop(0)
            if isinstance(state, int):
                return state, {"reason": "Unavailable"}
            self.jobs[name]["status"] = state
        return 200, self.jobs[name]

    def delete(self, name: str) -> tuple[int, dict[str, Any]]:
        if self.jobs.pop(name, None) is None:
            return 404, {"reason": "NotFound"}
        return 200, {"status": "Success"}


def _handler(kubernetes: FakeKubernetes) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self, verb: str) -> None:
            url = urlsplit(self.path)
            kubernetes.requests.append(f"{verb} {self.path}")
            name = url.path.removeprefix(COLLECTION).strip("/")
            selector = parse_qs(url.query).get("labelSelector", [""])[0]
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                status, content = 401, {"reason": "Unauthorized"}
            elif url.path == WORKFLOWS and selector.startswith("pipeline/runid="):
                status, content = kubernetes.workflows()
            elif not url.path.startswith(COLLECTION):
                status, content = 404, {"reason": "NotFound"}
            elif verb == "POST":
                status, content = kubernetes.create(body)
            elif verb == "PATCH":
                status, content = kubernetes.patch(name, body)
            elif verb == "GET" and not name:
                status, content = kubernetes.list(selector)
            elif verb == "GET":
                status, content = kubernetes.get(name)
            else:
                status, content = kubernetes.delete(name)
            data = json.dumps(content).encode()
            with suppress(BrokenPipeError):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def do_GET(self) -> None:
            self.answer("GET")

        def do_POST(self) -> None:
            self.answer("POST")

        def do_PATCH(self) -> None:
            self.answer("PATCH")

        def do_DELETE(self) -> None:
            self.answer("DELETE")

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    return Handler
