"""The benchmark of packing: what it prints, and wrong options."""

import pytest
import typer
from typer.testing import CliRunner

from benchmarks import packing

SMALL = {"n_train": 8, "n_valid": 8, "n_test": 8, "batch_size": 8, "attribution_images": 2}


def test_a_line_for_each_size_whose_ratios_are_those_of_its_times(capsys):
    packing.compare("baseline", 3, 1, "cpu", **SMALL, attributions=("input_gradient",))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines] == [["baseline", "2"], ["baseline", "3"]]
    for _, _, alone, packed, ratio, an_hour, packed_an_hour, hourly_ratio in lines:
        assert float(ratio) == pytest.approx(float(alone) / float(packed), rel=0.1)
        assert float(hourly_ratio) == pytest.approx(float(packed_an_hour) / float(an_hour), abs=0.01)


def test_sizes_double_up_to_the_largest():
    assert [packing.sizes(members) for members in (2, 4, 6, 8)] == [[2], [2, 4], [2, 4, 6], [2, 4, 8]]


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        (["--device", "gpu"], ("bad --device 'gpu'", "choose from cpu, cuda")),
        (["--model", "vgg"], ("bad --model 'vgg'", "choose from resnet18, small_cnn")),
        (["--only", "adversarial"], ("bad --only 'adversarial'", "choose from actdiff, baseline,")),
    ],
)
def test_wrong_options_say_what_is_allowed(arguments, pieces, monkeypatch):
    monkeypatch.setenv("TERMINAL_WIDTH", "250")
    app = typer.Typer(add_completion=False)
    app.command()(packing.main)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2, result.output
    for piece in pieces:
        assert piece in result.output
