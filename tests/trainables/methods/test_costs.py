"""Relative costs of a training step: measured, or declared by the method."""

import pytest

from trainables.methods import METHODS, Baseline, costs
from trainables.methods.costs import Measurement, measured, read, relative_cost, replaced, write
from trainables.models import MODELS


def measurement(model="small_cnn", date="2020-01-01", **by_method) -> Measurement:
    return Measurement(model, date, "a machine", "a command", by_method)


@pytest.fixture
def known(monkeypatch, tmp_path):
    """known(measurement, …) replaces all measurements."""

    def put(*measurements: Measurement) -> None:
        monkeypatch.setattr(costs, "FILE", tmp_path / "costs.json")
        write(measurements, costs.FILE)
        assert read(costs.FILE) == measurements
        costs._table.cache_clear()

    yield put
    costs._table.cache_clear()


@pytest.mark.parametrize("name", sorted(METHODS.builtin))
def test_a_step_on_the_small_model_costs_what_was_measured_or_declared(name):
    cost = measured(name, "small_cnn")
    assert cost != "diverges"
    assert relative_cost(name, "small_cnn") == (METHODS[name].relative_cost if cost is None else cost) > 0


def test_measurements_are_of_registered_names_and_unique():
    pairs = [(m.model, name) for m in read(costs.FILE) for name in m.costs]
    assert len(set(pairs)) == len(pairs)
    assert {name for _, name in pairs} <= set(METHODS.builtin), "a method that is gone"
    assert {model for model, _ in pairs} <= set(MODELS.builtin), "a model that is gone"


def test_the_small_model_stands_in_for_unmeasured_models(known):
    known(measurement(rrr=3.0, actdiff=2.0, cdep=4.0), measurement("resnet18", rrr=2.5, cdep="diverges"))
    assert relative_cost("rrr", "resnet18") == 2.5
    assert relative_cost("rrr", "another") == 3.0
    assert relative_cost("actdiff", "resnet18") == 2.0
    assert relative_cost("cdep", "resnet18") == 4.0
    assert measured("cdep", "resnet18") == "diverges"
    assert measured("actdiff", "resnet18") is None


def test_an_unmeasured_method_declares_its_cost(known, monkeypatch):
    known()
    monkeypatch.setattr(Baseline, "relative_cost", 1.5)
    assert relative_cost("baseline", "small_cnn") == 1.5


def test_a_later_measurement_replaces_an_earlier_one():
    old = (measurement(rrr=3.0, actdiff=2.0), measurement("resnet18", rrr=2.5), measurement(gain=1.0))
    new = measurement(date="2021-01-01", rrr=3.5, gain=1.1)
    assert replaced(old, new) == (measurement(actdiff=2.0), measurement("resnet18", rrr=2.5), new)
