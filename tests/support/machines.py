"""Machines of a small network, each with its own processes, address, name, home and Ray, made of Linux namespaces.

They need root and permission to make namespaces. The system is not changed, and the machines disappear when this
process ends, however it ends: the first process of each machine lives as long as the pipe to its input.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from driver.ray.start import PATIENCE as RAY_PATIENCE
from support.need import need

PREFIX = "10.77.0"
# Reaps the machine's orphaned processes until its input ends.
INIT = "import signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); print('up', flush=True); sys.stdin.read()"


class MachineError(Exception):
    """A machine could not be made, or a command on it failed."""


def why_not() -> str | None:
    """Why machines cannot be made here; None if they can."""
    if not sys.platform.startswith("linux"):
        return "machines are made of Linux namespaces"
    missing = [name for name in ("ip", "nsenter", "unshare") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} is not installed: run tests/install_system_packages"
    probe = subprocess.run(["unshare", "--net", "--pid", "--mount", "--uts", "--fork", "true"], capture_output=True)
    return None if probe.returncode == 0 else f"namespaces are not permitted: {probe.stderr.decode().strip()}"


class Machine:
    """A machine. It shares the files of the host, except its home, /run, /tmp/ray and /dev/shm."""

    def __init__(self, name: str, hosts: Mapping[str, str] | None = None):
        """`hosts`: addresses of the names that it knows."""
        self.name = name
        self.address = "127.0.0.1"
        self._temporary = tempfile.TemporaryDirectory(prefix=f"{name}-", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name)
        self.home = self.folder / "home"
        self.home.mkdir()
        # Ray's launcher reads it before each command.
        (self.home / ".bashrc").touch()
        passwd = Path("/etc/passwd").read_text()
        root = f"root:x:0:0:root:{self.home}:/bin/bash"
        (self.folder / "passwd").write_text(re.sub(r"^root:.*$", root, passwd, flags=re.MULTILINE))
        addresses = {"localhost": "127.0.0.1", **(hosts or {})}
        (self.folder / "hosts").write_text("".join(f"{address} {known}\n" for known, address in addresses.items()))
        Path("/tmp/ray").mkdir(exist_ok=True)  # noqa: S108 -- where Ray keeps its sessions
        setup = (
            "set -e; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /tmp/ray; mount -t tmpfs tmpfs /dev/shm;"
            f"mount --bind {self.folder}/passwd /etc/passwd; mount --bind {self.folder}/hosts /etc/hosts;"
            f'hostname {name}; ip link set lo up; mkdir /run/sshd; exec {sys.executable} -c "{INIT}"'
        )
        namespaces = ("--net", "--mount", "--uts", "--pid", "--ipc", "--fork", "--mount-proc", "--kill-child")
        command = ["unshare", *namespaces, "sh", "-c", setup]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        if self.process.stdout.readline() != b"up\n":
            raise MachineError(f"machine {name} did not start")
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.pid = int(children[0])

    def command(self, *words: str, cwd: Path | None = None) -> list[str]:
        """The command line that runs `words` on this machine, in its home or another folder."""
        namespaces = ("--net", "--mount", "--uts", "--pid", "--ipc")
        return ["nsenter", f"--target={self.pid}", *namespaces, f"--wdns={cwd or self.home}", "--", *words]

    def environment(self, variables: Mapping[str, str] | None = None) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "MLFLOW_", "PG", "RAY_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ours = {"HOME": str(self.home), "PATH": path, "OMP_NUM_THREADS": "1"}
        # `ray start` gets the time that sweep.py gives Ray.
        return {**kept, **RAY_PATIENCE, **ours, **(variables or {})}

    def run(
        self,
        *words: str,
        variables: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 120,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; if it fails, the error contains its output."""
        command, environment = self.command(*words, cwd=cwd), self.environment(variables)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout)
        if check and done.returncode:
            output = f"{done.stdout}{done.stderr}"
            raise MachineError(f"{self.name}: {' '.join(words)} ended with {done.returncode}:\n{output}")
        return done

    def start(self, log: str, *words: str, variables: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a command in the background; its output goes to the file `log` in `folder`."""
        with (self.folder / log).open("ab") as output:
            return subprocess.Popen(self.command(*words), env=self.environment(variables), stdout=output, stderr=output)

    def off(self) -> None:
        """Switch the machine off: all its processes end at once, and its address no longer answers."""
        if self.process.poll() is None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.wait(30)
        self._temporary.cleanup()


class Network:
    """Machines that can reach each other: the first is 10.77.0.2, the next 10.77.0.3, and so on."""

    def __init__(self) -> None:
        self.stack = ExitStack()
        self.count = 0

    def __enter__(self) -> Self:
        need(why_not())
        self.switch = Machine("switch")
        self.stack.callback(self.switch.off)
        self.switch.run("ip", "link", "add", "lan", "type", "bridge")
        self.switch.run("ip", "address", "add", f"{PREFIX}.1/24", "dev", "lan")
        self.switch.run("ip", "link", "set", "lan", "up")
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def add(self, name: str, hosts: Mapping[str, str] | None = None) -> Machine:
        """A new machine on the network."""
        machine = Machine(name, hosts)
        self.stack.callback(machine.off)
        self.count += 1
        machine.address = f"{PREFIX}.{self.count + 1}"
        port, end = f"port{self.count}", f"end{self.count}"
        self.switch.run("ip", "link", "add", port, "type", "veth", "peer", "name", end)
        # From outside, where the machine's first process has a known number.
        switch = f"--net=/proc/{self.switch.pid}/ns/net"
        subprocess.run(["nsenter", switch, "ip", "link", "set", end, "netns", str(machine.pid)], check=True)
        self.switch.run("ip", "link", "set", port, "master", "lan", "up")
        machine.run("ip", "link", "set", end, "name", "eth0", "up")
        machine.run("ip", "address", "add", f"{machine.address}/24", "dev", "eth0")
        machine.run("ip", "route", "add", "default", "via", f"{PREFIX}.1")
        return machine
