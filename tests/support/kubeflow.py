"""The environment of kfp, which `make` creates inside that of the tests, and the pipeline's steps in it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.commands import PATIENCE, ROOT

PYTHON = Path(sys.prefix) / "kubeflow" / "bin" / "python"
SCRIPT = str(ROOT / "tests" / "support" / "run_kubeflow.py")


def kfp(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run Python with kfp."""
    _check_environment()
    return subprocess.run([str(PYTHON), *arguments], capture_output=True, text=True, timeout=PATIENCE, **options)


def start_step(step: str, kubeconfig: Path, runs: str = "kubeflow", **arguments: Any) -> subprocess.Popen[str]:
    """Start a step of a pipeline in the namespace `runs`, as a process that the caller ends or awaits."""
    _check_environment()
    variables = {**os.environ, "KUBECONFIG": str(kubeconfig), "NAMESPACE": runs, "PYTHONUNBUFFERED": "1"}
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen([str(PYTHON), SCRIPT, "step", str(ROOT), step], text=True, env=variables, **streams)
    assert process.stdin is not None
    with process.stdin:
        json.dump(arguments, process.stdin)
    process.stdin = None
    return process


def run_step(step: str, kubeconfig: Path, runs: str = "kubeflow", **arguments: Any) -> Any:
    """The result of a step of the pipeline.

    Raises:
        RuntimeError: the step failed; the message is its output.
    """
    process = start_step(step, kubeconfig, runs, **arguments)
    output, _ = process.communicate(timeout=PATIENCE)
    if process.returncode:
        raise RuntimeError(output)
    return json.loads(output.splitlines()[-1])


def _check_environment() -> None:
    assert PYTHON.exists(), f"kfp's environment {PYTHON} is missing: run `make pipeline` once"
