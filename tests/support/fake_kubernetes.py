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
Answer = tuple[int, dict[str, Any]]


class FakeKubernetes:
    """A store of RayJobs. Each time one is read, its status advances through `states`; the last one stays.

    A state is the content of `status`, or a number: an HTTP status that is returned once instead. Every run of the
    pipeline has one workflow, which is not cancelled.
    """

    def __init__(self, folder: Path, states: Sequence[dict[str, Any] | int]):
        self.states = list(states)
        self.jobs: dict[str, dict[str, Any]] = {}
        self.kubeconfig = folder / "kubeconfig"

    def __enter__(self) -> Self:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"kubernetes": self}))
        self.thread = Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": {"server": f"http://127.0.0.1:{self.server.server_port}"}}],
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

    def answer(self, verb: str, path: str, selector: str, body: dict[str, Any]) -> Answer:
        """HTTP status and content."""
        name = path.removeprefix(COLLECTION).strip("/")
        if path == WORKFLOWS and selector.startswith("pipeline/runid="):
            return 200, {"items": [{"spec": {}}]}
        if not path.startswith(COLLECTION):
            return 404, {"reason": "NotFound"}
        if verb == "POST":
            return self.create(body)
        if not name:
            key, _, value = selector.partition("=")
            return 200, {"items": [job for job in self.jobs.values() if job["metadata"]["labels"][key] == value]}
        if name not in self.jobs:
            return 404, {"reason": "NotFound"}
        if verb == "DELETE":
            return 200, self.jobs.pop(name)
        return self.patch(name, body) if verb == "PATCH" else self.get(name)

    def create(self, body: dict[str, Any]) -> Answer:
        name = body["metadata"]["name"]
        if name in self.jobs:
            return 409, {"reason": "AlreadyExists"}
        body["metadata"]["uid"] = str(uuid.uuid4())
        self.jobs[name] = body
        return 201, body

    def patch(self, name: str, body: dict[str, Any]) -> Answer:
        metadata = self.jobs[name]["metadata"]
        if body["metadata"]["uid"] != metadata["uid"]:
            return 409, {"reason": "Conflict"}
        metadata["labels"] |= body["metadata"]["labels"]
        return 200, self.jobs[name]

    def get(self, name: str) -> Answer:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, int):
            return state, {"reason": "Unavailable"}
        self.jobs[name]["status"] = state
        return 200, self.jobs[name]


class _Handler(BaseHTTPRequestHandler):
    kubernetes: FakeKubernetes

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        selector = parse_qs(url.query).get("labelSelector", [""])[0]
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            status, content = self.kubernetes.answer(self.command, url.path, selector, body)
        else:
            status, content = 401, {"reason": "Unauthorized"}
        data = json.dumps(content).encode()
        with suppress(BrokenPipeError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Print nothing."""
