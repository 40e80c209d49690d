"""The command line: help, lists, dry runs, and wrong input answered in one line with an exit code."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
from support.commands import PATIENCE, ROOT, run_sweep
from typer.main import get_command
from typer.testing import CliRunner

import sweep
from records import Manifest, SweepRecords, open_storage
from search_spaces import SPACES

# Commands, by a part of their message. Values of settings have tests in tests/trainables, storages in tests/records.
WRONG = {
    "unknown space 'smok'; did you mean 'smoke'? ": "--space smok",
    "unknown dataset 'mnist'": "--dataset mnist",
    "unknown dataset 'own/scans'; did you mean 'folder:own/scans'?": "--dataset own/scans",
    "there is no folder": "--dataset folder:nowhere",
    "'waterbirds' needs root=FOLDER": "--dataset waterbirds --dry-run",
    "unknown setting 'epoch' in --set; did you mean 'epochs' or 'step_epochs'? docs/methods": "--set epoch=3",
    "unknown setting 'zzz' in --set; choose from attribution_images, ": "--set zzz=3",
    "setting 'strength' in --set applies to no trial of this": "--set method=baseline --set strength=3",
    "bad --set 'epochs': write --set KEY=VALUE": "--set epochs",
    "--set lr is given twice": "--set lr=1 --set lr=2",
    "bad value 'many' for epochs": "--set epochs=many",
    "unknown method 'rrrr'; did you mean 'rrr'? ": "--set method=rrrr",
    "no trial computes iou of integrated_gradients, the primary analysis": "--set attributions=occlusion",
    "bad --address 'here'; give local, auto or ray://HOST:PORT": "--address here",
    "no Ray cluster at --address": "--address ray://127.0.0.1:9",
    "bad --tracking-uri 'mlruns'; give sqlite:///FILE.db": "--tracking-uri mlruns",
    "create it first": "--tracking-uri sqlite:///no/x.db",
    "unknown storage scheme 'ftp'": "--storage ftp://host/x",
    "bad storage 'https://***@minio/x'": "--storage https://me:hush@minio/x",
    "bad sweep name 'my sweep'": "--name 'my sweep'",
    "'0' is not a whole number of at least 1": "--max-trials 0",
    "'inf' is not a number of at least 0": "--cpus-per-trial inf",
    "bad --cpus-per-trial 0; give a number above 0": "--cpus-per-trial 0",
    "bad --gpus-per-trial 1.5; give 0, a fraction such as 0.25, or a whole number": "--gpus-per-trial 1.5",
    "bad --gpus-per-trial 1: torch": "--gpus-per-trial 1",
    "there is no space file 'none.py'": "--space none.py",
    "there is no sweep at": "--status --name s",
    "--fresh starts a new sweep, and --sync needs": "--sync --fresh",
    "--fresh starts a new sweep, and --status needs": "--status --fresh",
}
QUICK = ("smok", "--set epochs", "lr=2", "--address here", "mlruns", "ftp:", "my sweep", "--max-trials", "1.5")
"""Parts of the commands among them that are refused before torch and Ray load."""
HELD = '{"holder": "ann on far", "host": "far", "pid": 1, "process_started": 0, "renewed_at": 9e9}'
WRONG_FILES = {
    "did you mean 'folder:scans'?": ("--dataset scans", "scans/1.png", ""),
    "did you mean 'label' by 'lable'?": ("--dataset manifest:x.csv", "x.csv", "image,lable\n"),
    "is a file, not a folder": ("--storage f", "f", ""),
    "sweep.json is not JSON": ("--name s", "sweeps/s/sweep.json", "{"),
    "is being run by ann on far": ("--name s", "sweeps/s/lease.json", HELD),
    "did you mean 'typos'? --list-sweeps": ("--sync --name typo", "sweeps/typos/sweep.json", "{}"),
}
"""As above, with a file and its content."""
RETURN = "from search_spaces import Primary, Space\ndef mine():\n    return "
ONE = "Space('m', '', [{'dataset': 'synthetic', 'method': "
WRONG_SPACES = {
    "cannot be run: SyntaxError": "def mine(:",
    "has no function 'mine'; it must be named for the file": "",
    "must return a search_spaces.Space": f"{RETURN}[]",
    "raised ZeroDivisionError": f"{RETURN}1 / 0",
    "every trial needs method": f"{RETURN}Space('m', '', [{{'dataset': 'x'}}])",
    "unknown method 'x'": f"{RETURN}{ONE}'x'}}])",
    "bad comparisons ('seeds',); give some of seed, ": f"{RETURN}{ONE}'rrr'}}], comparisons=('seeds',))",
    "bad split 'valid_id' of the primary: maps are scored on test_id or test_ood": f"{RETURN}Primary('valid_id')",
    "bad outcome 'test_ood.loss' of the primary: give one that is": f"{RETURN}Primary(outcome='test_ood.loss')",
}


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """Torch and Ray load once, for seconds: in no test's own time."""
    import_module("driver.run_sweep")


@pytest.mark.parametrize(
    ("message", "command", "file", "content"),
    [
        *((message, command, None, "") for message, command in WRONG.items()),
        *((message, *case) for message, case in WRONG_FILES.items()),
        *((message, "--space mine.py", "mine.py", content) for message, content in WRONG_SPACES.items()),
    ],
)
def test_wrong_input_is_refused_with_an_exit_code_and_a_message(message, command, file, content, tmp_path, monkeypatch):
    if file is not None:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERMINAL_WIDTH", "250")
    monkeypatch.setenv("RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    result = CliRunner().invoke(sweep.app, shlex.split(command))
    assert result.exit_code == (1 if content == HELD else 2), result.output
    assert message in result.stderr, result.stderr
    assert "Traceback" not in result.output
    assert "hush" not in result.output
    files = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == ({} if file is None else {file: content}), "a refused command writes nothing"


def test_the_storage_is_by_default_that_of_the_environment(monkeypatch):
    monkeypatch.setenv("SWEEP_STORAGE", "s3://bucket/there")
    assert get_command(sweep.app).make_context("sweep.py", []).params["storage"] == "s3://bucket/there"


def test_a_missing_project_is_reported(tmp_path):
    (tmp_path / "sweep.py").write_bytes((ROOT / "sweep.py").read_bytes())
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "sweep.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    places = f"{tmp_path}, {tmp_path / 'project'}, {tmp_path}"
    assert done.stderr == f"Error: the project is in none of {places}; change into its folder\n"


def test_on_kubernetes_fresh_is_refused(tmp_path):
    command = ["sh", str(ROOT / "k8s/run_sweep.sh"), "--space", "smoke", "--fresh"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--fresh would begin another sweep at each of these tries: give the new sweep a --name" in done.stderr


def test_an_interrupt_during_the_start_ends_at_once_without_a_traceback(tmp_path):
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


def test_every_option_is_documented_and_shows_its_default(tmp_path):
    ran = run_sweep(tmp_path, "-h", COLUMNS="80")
    assert ran.code == 0
    assert run_sweep(tmp_path, "--help", COLUMNS="80").out == ran.out
    assert max(map(len, ran.out.splitlines())) <= 80
    parts = re.split(r"^  (?:-h, )?(--[a-z-]+)", ran.out, flags=re.MULTILINE)[1:]
    options = {option: " ".join(text.split()) for option, text in zip(parts[::2], parts[1::2], strict=True)}
    page = (ROOT / "docs" / "reference" / "commands.md").read_text()
    assert len(options) >= 22
    assert [option for option in options if f"`{option}" not in page and f" {option}" not in page] == [], "`make docs`"
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


def test_the_version():
    assert CliRunner().invoke(sweep.app, ["--version"]).output == f"saliency-sweep {version('saliency-sweep')}\n"


def test_spaces_complete_in_the_shell():
    assert sweep.spaces("paper") == ["paper_search", "paper_seeds"]


def test_list_spaces(tmp_path):
    ran = run_sweep(tmp_path, "--list-spaces")
    assert ran.code == 0
    assert re.findall(r"^(\w+)  [\d,]+ trials(?:: | per method )", ran.out, re.MULTILINE) == list(SPACES)
    assert "laptop  6,080 trials: strengths x " in ran.out
    assert list(tmp_path.iterdir()) == []


def test_help_lists_and_wrong_options_load_neither_torch_nor_ray(tmp_path):
    """They take a fraction of a second; torch and Ray take several."""
    quick = [next(command for command in WRONG.values() if part in command) for part in QUICK]
    SweepRecords(open_storage(tmp_path / "sweeps"), "smoke").write_manifest(Manifest(space="smoke"))
    commands = [["--help"], ["--list-spaces"], ["--list-sweeps"], ["--status"], *map(shlex.split, quick)]
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
    assert done.stdout.strip() == f"{[0] * 4 + [2] * len(QUICK)} []"


@pytest.mark.slow
def test_a_dry_run_shows_size_and_time_and_starts_nothing(tmp_path):
    ran = run_sweep(tmp_path, "--space", "smoke", "--dry-run")
    assert ran.code == 0, ran
    for piece in ("192 trials in", "0 done, 192 to run", "32 trials are one seed; 192 are 6 seeds"):
        assert piece in ran.out
    assert re.search(r"About \d:\d\d:\d\d with \d+ trials at a time", ran.out)
    assert re.search(r"Memory: up to \d\.\d GB a trial, [\d.]+ GB with \d+ trials at a time and this command", ran.out)
    assert "test_ood.iou.integrated_gradients against test_ood.auc" in ran.out
    assert list(tmp_path.iterdir()) == []
