"""The command line: help, lists, dry runs, and wrong input answered in one line with an exit code."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
from support.commands import PATIENCE, ROOT, run_sweep
from typer.main import get_command
from typer.testing import CliRunner

import sweep
from search_spaces import SPACES
from trainables.models import MODELS


@dataclass(frozen=True)
class Wrong:
    """Arguments that are wrong, pieces that the message must have, and what lies around beforehand."""

    arguments: tuple[str, ...]
    pieces: tuple[str, ...]
    before: Callable[[Path], object] = lambda folder: None
    code: int = 2


def file(name: str, content: str) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    return make


def space_file(body: str) -> Callable[[Path], object]:
    return file("mine.py", body)


SPACE = "from search_spaces import Space\ndef mine():\n    return "
HELD = '{"holder": "ann on far", "host": "far", "pid": 1, "process_started": 0, "renewed_at": 9e9}'

WRONG = {
    "space": Wrong(
        ("--space", "smok"),
        ("unknown space 'smok'; did you mean 'smoke'? ", ", ".join(sorted(SPACES)), "--list-spaces"),
    ),
    "dataset": Wrong(
        ("--dataset", "mnist"), ("unknown dataset 'mnist'", "decoy_digits", "folder:PATH or manifest:FILE.csv")
    ),
    "dataset misspelled": Wrong(("--dataset", "decoy_digit"), ("did you mean 'decoy_digits'",)),
    "folder without its kind": Wrong(
        ("--dataset", "own/scans"), ("unknown dataset 'own/scans'; did you mean 'folder:own/scans'?",)
    ),
    "folder here": Wrong(("--dataset", "scans"), ("did you mean 'folder:scans'?",), file("scans/1.png", "")),
    "table without its kind": Wrong(("--dataset", "/a/b.csv"), ("did you mean 'manifest:/a/b.csv'?",)),
    "no folder": Wrong(("--dataset", "folder:nowhere"), ("there is no folder", "nowhere", "correct its name")),
    "no table": Wrong(("--dataset", "manifest:no.csv", "--dry-run"), ("there is no file", "no.csv", "put it there")),
    "table column": Wrong(
        ("--dataset", "manifest:x.csv"),
        ("x.csv has no column 'label' or 'class'", "did you mean 'label' by 'lable'?"),
        file("x.csv", "image,lable\n"),
    ),
    "no root": Wrong(("--dataset", "waterbirds", "--dry-run"), ("'waterbirds' needs root=FOLDER", "CUB_200_2011/")),
    "setting": Wrong(
        ("--set", "epoch=3"),
        ("unknown setting 'epoch' in --set; did you mean 'epochs'? docs/methods.md and docs/datasets.md have",),
    ),
    "nothing like a setting": Wrong(
        ("--set", "zzz=3"), ("unknown setting 'zzz' in --set; choose from attribution_images, ", "docs/methods.md")
    ),
    "setting of no trial": Wrong(
        ("--set", "method=baseline", "--set", "strength=3"),
        ("setting 'strength' in --set applies to no trial of this",),
    ),
    "no value": Wrong(("--set", "epochs"), ("bad --set 'epochs'", "KEY=VALUE")),
    "no key": Wrong(("--set", "=3"), ("bad --set '=3'", "KEY=VALUE")),
    "given twice": Wrong(("--set", "lr=1", "--set", "lr=2"), ("--set lr is given twice", "give it once")),
    "no number": Wrong(("--set", "epochs=many"), ("bad value 'many' for epochs", "valid integer")),
    "severity": Wrong(("--set", "severity=1.5"), ("bad value 1.5 for severity", "less than or equal to 1")),
    "strength": Wrong(("--set", "strength=-1"), ("bad value -1 for strength", "greater than or equal to 0")),
    "rate": Wrong(("--set", "lr=NaN"), ("bad value nan for lr", "finite number")),
    "epochs": Wrong(("--set", "epochs=0"), ("bad value 0 for epochs", "greater than or equal to 1")),
    "preset": Wrong(("--set", "preset=ours"), ("bad value 'ours' for preset", "'fixed' or 'paper'")),
    "selection": Wrong(("--set", "selection=best"), ("bad value 'best' for selection", "'best_valid_id'")),
    "policy": Wrong(("--set", "empty_mask=drop"), ("bad value 'drop' for empty_mask", "'skip', 'outside' or 'inside'")),
    "classes": Wrong(("--set", "classes=3"), ("bad value 3 for classes", "2 or 10")),
    "method": Wrong(
        ("--set", "method=rrrr"),
        ("unknown method 'rrrr'; did you mean 'rrr'? ", "actdiff", "trainables/methods/__init__.py"),
    ),
    "model": Wrong(("--set", "model=vgg"), ("unknown model 'vgg'", ", ".join(MODELS))),
    "attribution": Wrong(("--set", "attributions=lime"), ("unknown attribution 'lime'", "occlusion")),
    "address": Wrong(("--address", "here"), ("bad --address 'here'", "local, auto or ray://HOST:PORT")),
    "no cluster": Wrong(("--address", "ray://127.0.0.1:9"), ("no Ray cluster at --address", "ray start")),
    "tracking": Wrong(("--tracking-uri", "mlruns"), ("bad --tracking-uri 'mlruns'", "sqlite:///FILE.db", "or none")),
    "tracking folder": Wrong(("--tracking-uri", "sqlite:///no/x.db"), ("there is no folder", "create it first")),
    "storage scheme": Wrong(("--storage", "ftp://host/x"), ("unknown storage scheme 'ftp'", "s3://bucket/prefix")),
    "storage typo": Wrong(("--storage", "s3:/bucket/x"), ("bad storage 's3:/bucket/x'", "s3://bucket/prefix")),
    "storage of an unset variable": Wrong(("--storage", ""), ("bad storage ''", "unset?")),
    "storage of nobody": Wrong(("--storage", "~nosuchuser/x"), ("bad storage '~nosuchuser/x'", "write out its path")),
    "storage password": Wrong(("--storage", "https://me:hush@minio/x"), ("bad storage 'https://***@minio/x'",)),
    "storage file": Wrong(("--storage", "f"), ("is a file, not a folder", "give --storage"), file("f", "")),
    "storage keys": Wrong(("--storage", "s3://key:hush@b/x"), ("s3://bucket/prefix", "AWS_ACCESS_KEY_ID")),
    "name": Wrong(("--name", "my sweep"), ("bad sweep name 'my sweep'", "letters, digits")),
    "empty name": Wrong(("--name", ""), ("bad sweep name ''", "letters, digits")),
    "max trials": Wrong(("--max-trials", "0"), ("--max-trials", "'0' is not a whole number of at least 1")),
    "concurrency": Wrong(("--concurrency", "two"), ("--concurrency", "'two' is not a whole number of at least 1")),
    "endless": Wrong(("--cpus-per-trial", "inf"), ("--cpus-per-trial", "'inf' is not a number of at least 0")),
    "gpus": Wrong(("--gpus-per-trial", "1.5"), ("bad --gpus-per-trial 1.5", "a fraction such as 0.25")),
    "no gpu": Wrong(("--gpus-per-trial", "1"), ("bad --gpus-per-trial 1: torch", "leave the option out")),
    "option": Wrong(("--seeds", "3"), ("No such option", "--seeds")),
    "no space file": Wrong(("--space", "none.py"), ("there is no space file 'none.py'", "NAME.py")),
    "broken space file": Wrong(("--space", "mine.py"), ("cannot be run: SyntaxError",), space_file("def mine(:")),
    "empty space file": Wrong(("--space", "mine.py"), ("has no function 'mine'", "named for the file"), space_file("")),
    "wrong space": Wrong(("--space", "mine.py"), ("must return a search_spaces.Space",), space_file(f"{SPACE}[]")),
    "raising space": Wrong(("--space", "mine.py"), ("raised ZeroDivisionError",), space_file(f"{SPACE}1 / 0")),
    "vague space": Wrong(
        ("--space", "mine.py"),
        ("every trial needs method",),
        space_file(f"{SPACE}Space('m', '', [{{'dataset': 'x'}}])"),
    ),
    "space of unknown things": Wrong(
        ("--space", "mine.py"),
        ("unknown method 'x'",),
        space_file(f"{SPACE}Space('m', '', [{{'dataset': 'synthetic', 'method': 'x'}}])"),
    ),
    "space of an unknown comparison": Wrong(
        ("--space", "mine.py"),
        ("bad comparisons ('seeds',); give some of seed, setting, method, given_id",),
        space_file(f"{SPACE}Space('m', '', [{{'dataset': 'synthetic', 'method': 'rrr'}}], comparisons=('seeds',))"),
    ),
    "space of an unknown split": Wrong(
        ("--space", "mine.py"),
        ("bad split 'valid_id' of the primary: maps are scored on test_id or test_ood",),
        space_file("from search_spaces import Primary\ndef mine():\n    return Primary('valid_id')"),
    ),
    "primary of a loss": Wrong(
        ("--space", "mine.py"),
        ("bad outcome 'test_ood.loss' of the primary: give one that is better the larger it is",),
        space_file("from search_spaces import Primary\ndef mine():\n    return Primary(outcome='test_ood.loss')"),
    ),
    "primary of no trial": Wrong(
        ("--set", "attributions=occlusion"),
        ("no trial computes iou of integrated_gradients, the primary analysis of space 'smoke'", "another Primary"),
    ),
    "manifest": Wrong(("--name", "s"), ("sweep.json is not JSON", "remove it"), file("sweeps/s/sweep.json", "{")),
    "held": Wrong(("--name", "s"), ("is being run by ann on far", "--fresh"), file("sweeps/s/lease.json", HELD), 1),
    "no such sweep": Wrong(("--status", "--name", "s"), ("there is no sweep at", "--list-sweeps", "--storage")),
    "nothing to sync": Wrong(
        ("--sync", "--name", "typo"),
        ("there is no sweep at", "did you mean 'typos'?", "--list-sweeps"),
        file("sweeps/typos/sweep.json", "{}"),
    ),
    "fresh sync": Wrong(("--sync", "--fresh"), ("--fresh starts a new sweep", "leave one of them out")),
    "fresh status": Wrong(("--status", "--fresh"), ("--fresh starts a new sweep", "leave one of them out")),
}


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """Torch and Ray load once, for seconds: in no test's own time."""
    import_module("driver.run_sweep")


@pytest.mark.parametrize("case", sorted(WRONG))
def test_wrong_input_gives_an_exit_code_and_says_how_to_fix_it(case, tmp_path, monkeypatch):
    wrong = WRONG[case]
    wrong.before(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERMINAL_WIDTH", "250")
    monkeypatch.setenv("RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    result = CliRunner().invoke(sweep.app, wrong.arguments)
    assert result.exit_code == wrong.code, result.output
    for piece in wrong.pieces:
        assert piece in result.stderr, result.stderr
    assert "Traceback" not in result.output
    assert "hush" not in result.output
    left = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == before, "a refused command leaves nothing behind"


def test_the_storage_is_by_default_that_of_the_environment(monkeypatch):
    monkeypatch.setenv("SWEEP_STORAGE", "s3://bucket/there")
    assert get_command(sweep.app).make_context("sweep.py", []).params["storage"] == "s3://bucket/there"


def test_without_the_project_beside_it_the_command_says_so(tmp_path):
    (tmp_path / "sweep.py").write_bytes((ROOT / "sweep.py").read_bytes())
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "sweep.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: the project is in none of {tmp_path}, {tmp_path / 'project'}, {tmp_path}; change into its folder\n"
    )


def test_one_of_them_in_a_process_of_its_own(tmp_path):
    ran = run_sweep(tmp_path, "--space", "smok")
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.splitlines() == [
        f"Error: unknown space 'smok'; did you mean 'smoke'? choose from {', '.join(sorted(SPACES))} "
        "(see --list-spaces), or give a file NAME.py"
    ]


def test_on_kubernetes_no_try_of_a_command_begins_another_sweep(tmp_path):
    command = ["sh", str(ROOT / "k8s/run_sweep.sh"), "--space", "smoke", "--fresh"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--fresh would begin another sweep at each of these tries: give the new sweep a --name" in done.stderr


def test_an_interrupt_during_the_start_is_answered_at_once_and_without_a_traceback(tmp_path):
    command = [sys.executable, str(ROOT / "sweep.py"), "--dry-run"]
    started = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until_torch_loads(started)
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=PATIENCE)
    assert (started.returncode, out, err) == (130, "", "\nInterrupted. Repeat the command to go on.\n")


def until_torch_loads(process):
    """Wait for Python to be in the import that takes seconds."""
    maps, deadline = Path(f"/proc/{process.pid}/maps"), time.monotonic() + PATIENCE
    if not maps.exists():
        # Not Linux.
        time.sleep(3)
        return
    while "libtorch" not in maps.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def options_of(text):
    """The options of a help text, and what it says of each in one line."""
    parts = re.split(r"^  (?:-h, )?(--[a-z-]+)", text, flags=re.MULTILINE)[1:]
    return {option: " ".join(said.split()) for option, said in zip(parts[::2], parts[1::2], strict=True)}


def test_every_option_is_documented_and_says_its_default(tmp_path):
    ran = run_sweep(tmp_path, "-h", COLUMNS="80")
    assert ran.code == 0
    assert run_sweep(tmp_path, "--help", COLUMNS="80").out == ran.out
    assert max(map(len, ran.out.splitlines())) <= 80
    options = options_of(ran.out)
    page = (ROOT / "docs" / "reference" / "commands.md").read_text()
    assert len(options) >= 22
    for option in options:
        assert f"`{option}" in page or f" {option}" in page, (
            f"{option} is not in docs/reference/commands.md: run `make docs`"
        )
    for option, default in {
        "--space": "smoke",
        "--name": "the space's name",
        "--storage": "sweeps",
        "--tracking-uri": "MLFLOW_TRACKING_URI, else sqlite:///mlflow.db",
        "--address": "auto if submitted to a cluster or RAY_ADDRESS is set, else local",
        "--concurrency": "all there is room for",
        "--cpus-per-trial": "1.0",
        "--gpus-per-trial": "0",
    }.items():
        assert re.search(rf"\[(env var: \w+; )?default: {re.escape(default)}\]", options[option]), option


def test_the_version(tmp_path):
    ran = run_sweep(tmp_path, "--version")
    assert (ran.code, ran.out) == (0, f"saliency-sweep {version('saliency-sweep')}\n")


def test_spaces_complete_in_the_shell():
    (space,) = (parameter for parameter in get_command(sweep.app).params if parameter.name == "space")
    context = get_command(sweep.app).make_context("sweep.py", [], resilient_parsing=True)
    assert [item.value for item in space.shell_complete(context, "paper")] == ["paper_search", "paper_seeds"]


def test_list_spaces(tmp_path):
    ran = run_sweep(tmp_path, "--list-spaces")
    assert ran.code == 0
    assert re.findall(r"^(\w+)  [\d,]+ trials(?:: | per method )", ran.out, re.MULTILINE) == list(SPACES)
    assert "laptop  6,080 trials: strengths x " in ran.out
    assert list(tmp_path.iterdir()) == []


QUICK = ("space", "no key", "given twice", "address", "tracking", "storage scheme", "name", "max trials", "gpus")


def test_help_lists_and_wrong_options_load_neither_torch_nor_ray(tmp_path):
    """They take a fraction of a second; torch and Ray take several."""
    commands = [["--help"], ["--list-spaces"], *(WRONG[case].arguments for case in QUICK)]
    program = f"""
import sys
from typer.testing import CliRunner
import sweep
codes = [CliRunner().invoke(sweep.app, command).exit_code for command in {commands!r}]
print(codes, [name for name in ("torch", "ray") if name in sys.modules])
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{[0, 0] + [2] * len(QUICK)} []"


@pytest.mark.slow
def test_a_dry_run_says_size_and_time_and_starts_nothing(tmp_path):
    ran = run_sweep(tmp_path, "--space", "smoke", "--dry-run")
    assert ran.code == 0, ran
    assert "192 trials in" in ran.out
    assert "0 done, 192 to run" in ran.out
    assert "32 trials are one seed; 192 are 6 seeds" in ran.out
    assert re.search(r"About \d:\d\d:\d\d with \d+ trials at a time", ran.out)
    assert "test_ood.iou.integrated_gradients against test_ood.auc" in ran.out
    assert list(tmp_path.iterdir()) == []
