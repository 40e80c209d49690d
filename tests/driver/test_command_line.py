"""The command line: help, lists, dry runs, and wrong arguments answered in one line with exit code 2."""

import re

import pytest
from commands import ROOT, run_sweep

WRONG = {
    "space": (["--space", "smok"], ["unknown space 'smok'", "laptop, smoke", "--list-spaces"]),
    "dataset": (["--dataset", "mnist"], ["unknown dataset 'mnist'", "decoy_digits, synthetic"]),
    "setting": (["--set", "epoch=3"], ["unknown setting 'epoch'", "choose from", "epochs"]),
    "no value": (["--set", "epochs"], ["bad --set 'epochs'", "KEY=VALUE"]),
    "value": (["--set", "epochs=many"], ["bad value 'many' for epochs", "valid integer"]),
    "range": (["--set", "severity=1.5"], ["bad value 1.5 for severity", "less than or equal to 1"]),
    "method": (["--set", "method=rrrr"], ["unknown method 'rrrr'", "actdiff", "trainables/methods/__init__.py"]),
    "model": (["--set", "model=vgg"], ["unknown model 'vgg'", "resnet18, small_cnn"]),
    "address": (["--address", "here"], ["bad --address 'here'", "local, auto or ray://HOST:PORT"]),
    "no cluster": (
        ["--address", "ray://127.0.0.1:9"],
        ["no Ray cluster at --address 'ray://127.0.0.1:9'", "ray start"],
    ),
    "tracking": (["--tracking-uri", "mlruns"], ["bad --tracking-uri 'mlruns'", "sqlite:///FILE.db"]),
    "folder": (["--tracking-uri", "sqlite:///no/x.db"], ["there is no folder", "make it first"]),
    "storage": (["--storage", "ftp://host/x"], ["unknown storage scheme 'ftp'", "s3://bucket/prefix"]),
    "file": (["--storage", "file"], ["is a file, not a folder"]),
    "name": (["--name", "my sweep"], ["bad sweep name 'my sweep'", "letters, digits"]),
    "max trials": (["--max-trials", "0"], ["--max-trials", "'0' is not a whole number of at least 1"]),
    "concurrency": (["--concurrency", "two"], ["--concurrency", "'two' is not a whole number of at least 1"]),
    "option": (["--seeds", "3"], ["No such option", "--seeds"]),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_a_wrong_argument_gives_exit_code_2_and_says_the_mend(case, tmp_path):
    (tmp_path / "file").write_text("")
    arguments, pieces = WRONG[case]
    ran = run_sweep(tmp_path, *arguments, RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S="1", TERMINAL_WIDTH="200")
    assert ran.code == 2, ran
    assert "Traceback" not in ran.err
    for piece in pieces:
        assert piece in ran.err, ran.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"], "a refused command leaves nothing behind"


def test_help_names_every_option_of_the_readme(tmp_path):
    ran = run_sweep(tmp_path, "--help")
    assert ran.code == 0
    readme = (ROOT / "README.md").read_text()
    options = set(re.findall(r"--[a-z][a-z-]+", ran.out)) - {"--help"}
    assert len(options) >= 12
    for option in options:
        assert option in readme, f"{option} is not in the README"


def test_list_spaces(tmp_path):
    ran = run_sweep(tmp_path, "--list-spaces")
    assert ran.code == 0
    assert "smoke  84 trials" in ran.out
    assert "laptop  5700 trials" in ran.out
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_says_size_and_time_and_starts_nothing(tmp_path):
    ran = run_sweep(tmp_path, "--space", "smoke", "--dry-run")
    assert ran.code == 0, ran
    assert "84 trials in" in ran.out
    assert "0 done, 84 to run" in ran.out
    assert "About 0:0" in ran.out
    assert "test_ood.iou.integrated_gradients against test_ood.auc" in ran.out
    assert list(tmp_path.iterdir()) == []
