"""Relative costs of a training step: measured, or declared by the method."""

import pytest

from trainables.methods import METHODS, Baseline, costs
from trainables.methods.costs import Measurement, add, measured, read, relative_cost
from trainables.models import MODELS


def measurement(model="small_cnn", date="2020-01-01", **by_method) -> Measurement:
    return Measurement(model, date, "a machine", "a command", by_method)


@pytest.fixture
def known(monkeypatch, tmp_path):
    """known(measurement, …) replaces all measurements."""
    file = tmp_path / "costs.json"
    file.write_text("[]")

    def put(*measurements: Measurement) -> None:
        for each in measurements:
            add(each, file)
        by_name = {(name, each.model): cost for each in read(file) for name, cost in each.costs.items()}
        monkeypatch.setattr(costs, "_table", lambda: by_name)

    return put


def test_measurements_are_of_registered_names_and_unique():
    pairs = [(m.model, name) for m in read() for name in m.costs]
    assert len(set(pairs)) == len(pairs)
    assert {name for _, name in pairs} <= set(METHODS.builtin), "a method that is gone"
    assert {model for model, _ in pairs} <= set(MODELS.builtin), "a model that is gone"
    assert all(relative_cost(name, "small_cnn") > 0 for name in METHODS)


def test_the_small_model_stands_in_for_unmeasured_models(known):
    known(measurement(rrr=3.0, actdiff=2.0, cdep=4.0), measurement("resnet18", rrr=2.5, cdep="diverges"))
    assert [relative_cost(*pair) for pair in (("rrr", "resnet18"), ("rrr", "another"))] == [2.5, 3.0]
    assert [relative_cost(name, "resnet18") for name in ("actdiff", "cdep")] == [2.0, 4.0]
    assert [measured(name, "resnet18") for name in ("cdep", "actdiff")] == ["diverges", None]


def test_an_unmeasured_method_declares_its_cost(known, monkeypatch):
    known()
    monkeypatch.setattr(Baseline, "relative_cost", 1.5)
    assert relative_cost("baseline", "small_cnn") == 1.5


def test_a_later_measurement_replaces_an_earlier_one(tmp_path):
    file = tmp_path / "costs.json"
    file.write_text("[]")
    new = measurement(date="2021-01-01", rrr=3.5, gain=1.1)
    for each in (measurement(rrr=3.0, actdiff=2.0), measurement("resnet18", rrr=2.5), measurement(gain=1.0), new):
        add(each, file)
    assert read(file) == (measurement(actdiff=2.0), measurement("resnet18", rrr=2.5), new)
