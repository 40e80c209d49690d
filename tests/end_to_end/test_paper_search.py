"""The search of the paper, in small: it completes, and after a kill it resumes with the same trials."""

import json

import pytest
from support.commands import run_sweep, running_sweep, wait_until

from driver.plan.make_plan import make_plan
from driver.plan.plan import open_records
from records import columns
from search_spaces.strengths import PAPER_METHODS
from trainables import Recorder, TrialTrainable
from trainables.core.config import parse_settings
from trainables.trial.same_training import flat

SETTINGS = (
    *("model=small_cnn", "epochs=1", "attributions=input_gradient", "attribution_images=2"),
    *("n_train=32", "n_valid=16", "n_test=16", "disc_width=8"),
)
A_METHOD = 6


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Six trials a method without Ray, one after the other; the records by method."""
    records = open_records(str(tmp_path_factory.mktemp("searched")), "paper_search", fresh=False)
    plan = make_plan("paper_search", None, parse_settings(SETTINGS), A_METHOD * len(PAPER_METHODS))
    recorder = Recorder(records.storage.location, records.name, searcher=plan.searcher)
    queue, trainable = plan.queue(records, [], 1), TrialTrainable.__new__(TrialTrainable)
    while (training := queue.next()) is not None:
        trainable.setup(flat(training), recorder=recorder)
        while not trainable.step().get("done"):
            pass
        queue.ended(training)
    assert len(queue) == 0
    return records.load().records


@pytest.mark.slow
def test_every_method_has_its_trials_and_they_are_marked(searched):
    assert len(searched) == 42
    for method in PAPER_METHODS:
        own = [record for record in searched if record["method"] == method]
        assert [record["status"] for record in own] == ["completed"] * A_METHOD
        assert len({record["hp.lr"] for record in own}) == A_METHOD
    assert {record[columns.SEARCHER] for record in searched} == {"tpe"}


@pytest.mark.slow
def test_killed_and_run_again_it_has_the_same_trials(searched, tmp_path):
    expected = {record["trial_key"]: record for record in searched if record["method"] == "masked"}
    own = [setting for setting in SETTINGS if not setting.startswith("disc_")]
    settings = [word for setting in (*own, "method=masked") for word in ("--set", setting)]
    command = ["--space", "paper_search", "--concurrency", "1", "--max-trials", str(A_METHOD), *settings]
    folder = tmp_path / "sweeps/paper_search/records"
    with running_sweep(tmp_path, *command) as driver:
        wait_until(lambda: len(list(folder.glob("*.json"))) >= 2, driver)
    ran = run_sweep(tmp_path, *command)
    assert ran.code == 0, ran
    assert f"{A_METHOD}/{A_METHOD} trials done" in ran.out
    assert "Best settings by validation AUC" in ran.out
    found = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    assert found.keys() == expected.keys()
    for key, record in expected.items():
        for one in (record, found[key]):
            for column in filter(columns.is_run_specific, list(one)):
                one.pop(column)
        assert found[key] == record
