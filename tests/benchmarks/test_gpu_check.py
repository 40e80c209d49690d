"""The GPU check: its command, its result, and its message without a GPU."""

import json

import pytest
import torch
import typer
from support import other_device
from support.gpu_check import __main__ as command
from support.gpu_check import comparison, sharing
from support.gpu_check.comparison import Check, Comparison, differing, distance
from support.gpu_check.sharing import Throughput
from support.need import need
from typer.testing import CliRunner


@pytest.fixture
def run(tmp_path, monkeypatch):
    """run(*arguments): the command's exit code, what it says, and gpu_check.json."""
    app = typer.Typer()
    app.command()(command.main)
    monkeypatch.setenv("COLUMNS", "200")

    def start(*arguments):
        done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path)])
        file = tmp_path / "gpu_check.json"
        return done.exit_code, done.output, json.loads(file.read_text()) if file.exists() else None

    return start


def test_without_a_gpu_nothing_is_checked(run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, said, result = run()
    assert code == 2
    assert said.startswith(f"No GPU: torch {torch.__version__}")
    assert "nothing was checked" in said
    assert result is None


@pytest.mark.slow
def test_the_command_on_another_device(run, tmp_path):
    need(other_device.REASON)
    with other_device.parameters_keep_their_identity():
        code, said, result = run("--device", "other", "--only", "rrr, fixed", "--no-speed")
    assert code == 0, said
    names = [(each["part"], each["name"]) for each in result["comparisons"]]
    assert names == [(part, "rrr, fixed") for part in ("step", "trial", "repeated", "resumed")]
    assert result["holds"]
    assert "**all 4 comparisons hold**" in (tmp_path / "gpu_check.md").read_text()


def test_a_difference_and_an_error_give_exit_code_1(run, monkeypatch):
    def broken(device):
        yield Comparison("step", "a", 0.5, 0.1)
        raise RuntimeError("no kernel image\nat line 3")

    monkeypatch.setattr(command, "checks", lambda: [Check("step", "a", broken)])
    code, said, result = run("--device", "cpu", "--no-speed")
    assert code == 1
    assert "2 of 2 comparisons differ by more than their tolerance" in said
    assert [each["error"] for each in result["comparisons"]] == ["", "RuntimeError: no kernel image"]
    assert [each["difference"] for each in result["comparisons"]] == [0.5, None]


def test_every_registered_name_is_checked():
    names = {name for check in comparison.checks() for name in check.name.split(", ")}
    for registry in (comparison.METHODS, comparison.ATTRIBUTIONS, comparison.LOCALISATION, comparison.MODELS):
        assert set(registry) <= names | {"small_cnn"}


def test_distance():
    nan = float("nan")
    assert distance(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])) == pytest.approx(0.5 / (9 + 4.5**2) ** 0.5)
    assert distance(torch.tensor([nan, 2.0]), torch.tensor([nan, 2.0])) == 0
    assert distance(torch.tensor([nan, 2.0]), torch.tensor([1.0, 2.0])) == float("inf")
    assert not Comparison("", "", distance(torch.tensor([nan]), torch.tensor([1.0])), 0.1).holds


def test_differences_are_bit_for_bit():
    scores = {"auc": 0.1 + 0.2, "loss": float("nan"), "none": None, "maps": torch.ones(2).numpy()}
    assert differing(scores, dict(scores)) == 0
    assert differing(scores, {**scores, "auc": 0.3}) == 1
    assert differing(scores, {**scores, "none": 0.0, "more": 1.0}) == 2


def test_tf32_is_outside_the_tolerance_of_arithmetic():
    """TF32 keeps 10 bits of the mantissa of both factors."""

    def tf32(values):
        bits = values.view(torch.int32)
        return ((bits + (1 << 12)) & ~((1 << 13) - 1)).view(torch.float32)

    rng = torch.Generator().manual_seed(0)
    a, b = torch.randn(256, 512, generator=rng), torch.randn(512, 256, generator=rng)
    exact = a.double() @ b.double()
    assert distance(a @ b, exact) < comparison.ARITHMETIC / 10
    assert distance(tf32(a) @ tf32(b), exact) > comparison.ARITHMETIC * 10


@pytest.mark.slow
def test_trials_an_hour_of_processes_that_share_a_device():
    measured = sharing.measure(0.5, "small_cnn", "cpu", trials=1, epochs=1)
    assert not measured.error
    assert measured.trials_an_hour > 0
    assert measured.memory_mib is None, "the processor's memory is not a device's"
    assert "nowhere" in sharing.measure(0.5, "small_cnn", "nowhere", trials=1, epochs=1).error


def test_the_page(tmp_path):
    comparisons = [Comparison("maps", "rise", 2e-3, 1e-2), Comparison("maps", "lrp", 3e-2, 1e-2)]
    throughput = [Throughput(0.25, "small_cnn", 4000.4, 312.2, 480.0)]
    _, page = command.Result("a GPU", comparisons, throughput).write(tmp_path)
    lines = page.read_text().splitlines()
    assert "| maps | lrp | 0.03 | 0.01 |  |" in lines
    assert "| maps | 2 | 1 | 0.03 |" in lines
    assert "| 0.25 | small_cnn | 4000 | 312 | 480 |  |" in lines
    assert lines[0].endswith("a GPU: **1 of 2 comparisons differ by more than their tolerance**")
