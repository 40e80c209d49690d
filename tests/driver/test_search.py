"""A search: its next trial depends on the records alone."""

import io
import math

import pytest
from rich.console import Console

from driver import UserError
from driver.plan import cost
from driver.plan.make_plan import make_plan
from driver.plan.plan import declare, declared_plan, open_records
from driver.plan.search import SearchQueue
from driver.plan.study import SAMPLER, BestSettings, load_best_settings, objective
from driver.view.dry_run import show_plan
from records import columns
from search_spaces import SPACES, Search, Space, Tuned
from search_spaces.paper_search import TUNED
from search_spaces.strengths import PAPER_METHODS

FEW = {"model": "small_cnn", "epochs": 1}


def plan_of(max_trials=42, **overrides):
    return make_plan("paper_search", None, {**FEW, **overrides}, max_trials)


def record_of(config, auc=0.5, status="completed", loss=1.0):
    record = config.columns() | {columns.SEARCHER: SAMPLER, "status": status}
    scores = {objective(config.selection): auc, objective(config.selection, "loss"): loss}
    return record | {"schema_version": columns.SCHEMA_VERSION} | ({} if auc is None else scores)


@pytest.fixture
def records(tmp_path):
    return open_records(str(tmp_path), "s", fresh=False)


def queue_of(plan, records, slots):
    return plan.queue(records, records.load().records, slots)


def distance(config):
    """Decades from a learning rate of 1e-3."""
    return abs(math.log10(config.lr / 1e-3))


def auc_of(config):
    return 1 - distance(config) / 10


def run(queue, records, n, slots=1, order=iter):
    """Hand out n trials, `slots` at a time, and give each its record; what was handed out."""
    given, running = [], []
    while len(given) < n or running:
        while len(running) < slots and len(given) < n and (training := queue.next()) is not None:
            given.append(training[0])
            running.append(training)
        ended = next(order(running))
        running.remove(ended)
        records.write(record_of(ended[0], auc_of(ended[0])))
        queue.ended(ended)
    return given


def test_the_studies_are_the_papers():
    plan = make_plan("paper_search", None, {}, None)
    assert plan.planned == 7 * 51
    tuned = {study.base.method: {t.setting for t in study.tuned} for study in plan.studies}
    of_masks, of_penalty = {"lr", "mask_dilation"}, {"lr", "mask_dilation", "strength"}
    assert tuned == {
        **{"baseline": {"lr"}, "adversarial": {*of_penalty, "disc_iter", "disc_lr"}},
        **dict.fromkeys(("masked", "shuffled"), of_masks),
        **dict.fromkeys(("actdiff", "gradmask", "rrr"), of_penalty),
    }
    assert {t.setting: (t.low, t.high, t.log, t.whole) for t in TUNED if t.setting != "mask_dilation"} == {
        "lr": (1e-5, 1e-2, True, False),
        "strength": (1e-4, 10.0, True, False),
        "disc_iter": (2, 10, False, True),
        "disc_lr": (1e-4, 1e-2, True, False),
    }
    bases = {(b.preset, b.selection, b.seed, b.model, b.epochs) for b in (study.base for study in plan.studies)}
    assert bases == {("paper", "best_valid_ood", 1234, "resnet18", 100)}
    assert objective("best_valid_ood") == "valid_ood.auc"
    assert objective("best_valid_id") == objective("last") == "valid_id.auc"


def test_every_trial_is_within_the_ranges_and_belongs_to_one_study(records):
    plan = plan_of(70)
    given = run(queue_of(plan, records, 2), records, 70, slots=2)
    assert len({c.trial_key for c in given}) == 70
    by_method = {study.base.method: study for study in plan.studies}
    for config in given:
        for t in by_method[config.method].tuned:
            value = config.flat()[t.setting]
            assert t.low <= value <= t.high
            assert isinstance(value, int) is t.whole
        owners = [study.base.method for study in plan.studies if study.owns(record_of(config))]
        assert owners == [config.method]
    other = given[0].model_copy(update={"epochs": 2})
    assert not plan.owns(record_of(other)), "another search's trial in the same sweep"


def test_a_killed_search_resumes_with_the_same_trials(records, tmp_path):
    """With no more slots than studies, neither lost trials nor the order in which trials end matter."""
    whole = open_records(str(tmp_path), "whole", fresh=False)
    plan = plan_of()
    expected = run(queue_of(plan, whole, 3), whole, 42, slots=3)
    queue = queue_of(plan, records, 3)
    run(queue, records, 17, slots=3, order=reversed)
    lost = [queue.next() for _ in range(3)]
    assert None not in lost, "handed out, and killed before their records"
    again = queue_of(plan, records, 3)
    assert len(again) == len(plan.pending(records.load().records)) == 42 - 17
    run(again, records, 25, slots=3)
    assert records.done() == {c.trial_key for c in expected}
    assert len(queue_of(plan, records, 3)) == 0


def test_suggestions_improve_with_results(records):
    plan = plan_of(40, method="baseline")
    given = run(queue_of(plan, records, 1), records, 40)
    # Evenly over two decades below the optimum and one above, the mean distance is (2² + 1²) / 2 / 3.
    assert sum(map(distance, given[-20:])) / 20 < 5 / 6 / 2


@pytest.mark.parametrize("status", columns.STATUSES)
def test_a_trial_without_an_auc_counts_as_failed(records, status):
    (study,) = plan_of(12, method="baseline").studies
    trials = [study.finished_trial(record_of(study.random(6), auc, status)) for auc in (0.5, None)]
    states = ["COMPLETE" if status == "completed" else "FAIL", "FAIL"]
    assert [trial.state.name for trial in trials] == states
    assert trials[1].value is None


def test_a_failed_trial_is_tried_again_by_the_next_run(records):
    plan = plan_of(8, method="baseline")
    queue = queue_of(plan, records, 2)
    (lost,), (done,) = queue.next(), queue.next()
    records.write(record_of(lost, None, "failed"))
    records.write(record_of(done))
    again = queue_of(plan, records, 2)
    assert len(again) == 7
    assert again.next() == (lost,)
    assert again.next() not in ((lost,), (done,))


def test_with_more_slots_than_studies_some_run_together_and_none_twice(records):
    plan = plan_of(20, method="masked")
    given = run(queue_of(plan, records, 4), records, 20, slots=4, order=reversed)
    assert len({c.trial_key for c in given}) == 20
    queue = SearchQueue(plan.studies, open_records(str(records.storage.location), "t", fresh=False), [], 2)
    assert [queue.next() is None for _ in range(3)] == [False, False, True]


def test_an_override_of_a_tuned_setting_fixes_it():
    plan = plan_of(lr=0.002, method="gradmask")
    (study,) = plan.studies
    assert {t.setting for t in study.tuned} == {"strength", "mask_dilation"}
    assert all(config.lr == 0.002 for config in plan.trials.values())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"lr": 0.1}, "baseline on synthetic at severity 1 has 1 different trials, .* leave out --set of lr"),
        ({"selection": "last,best_valid_id"}, "two studies of baseline on synthetic at severity 1, .* another --name"),
    ],
)
def test_an_impossible_search_is_refused(overrides, message):
    with pytest.raises(UserError, match=message):
        plan_of(method="baseline", **overrides)


def searching(monkeypatch, tuned, method="rrr"):
    """The plan of a space with one study of nine trials."""
    trials = ({"dataset": "synthetic", "method": method, **FEW},)
    space = Space("odd", "", trials, search=Search((tuned,), trials=9, seed=0))
    monkeypatch.setitem(SPACES, "odd", lambda: space)
    return make_plan("odd", None, {}, None)


@pytest.mark.parametrize(
    ("tuned", "message"),
    [
        (Tuned("rate", 0, 1), "unknown setting 'rate' of method 'rrr'"),
        (Tuned("severity", 0, 2), r"bad value 2 for severity: .*less than or equal to 1"),
    ],
)
def test_a_setting_that_no_trial_can_have_is_refused_before_anything_runs(tuned, message, monkeypatch):
    with pytest.raises(UserError, match=message):
        searching(monkeypatch, tuned)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"low": 2, "high": 1}, "from 2 to 1: low must not exceed high"),
        ({"low": 0, "high": 1, "log": True}, "a log scale needs low > 0"),
        ({"low": 0.5, "high": 2, "whole": True}, "whole numbers need whole bounds"),
    ],
)
def test_a_bad_range_is_refused(settings, message):
    with pytest.raises(ValueError, match=f"bad range of lr.*{message}"):
        Tuned("lr", **settings)


def test_a_small_space_is_searched_completely(records, monkeypatch):
    plan = searching(monkeypatch, Tuned("disc_iter", 2, 10, whole=True), "adversarial")
    given = run(queue_of(plan, records, 1), records, 9)
    assert sorted(c.method_options["disc_iter"] for c in given) == list(range(2, 11))


def searched(records, auc=auc_of, methods=None, status="completed"):
    plan = plan_of()
    declare(records, plan, "python sweep.py")
    for study in plan.studies:
        for number in range(3):
            config = study.random(number)
            if methods is None or config.method in methods:
                records.write(record_of(config, auc(config), status, loss=number))
    return plan


def test_another_sweep_uses_the_best_settings(records):
    plan = searched(records)
    best_settings = load_best_settings(records)
    seeds = make_plan("paper_seeds", None, {"epochs": 30}, None, best_settings)
    assert len(seeds.trials) == 140
    for config in seeds.trials.values():
        (study,) = (s for s in plan.studies if s.base.method == config.method)
        best = max(map(study.random, range(3)), key=auc_of)
        assert study.values(config.columns()) == study.values(best.columns())
        assert config.epochs == 30
    assert make_plan("paper_seeds", None, {"lr": 0.5}, 1, best_settings).trials.popitem()[1].lr == 0.5


def test_sync_gives_the_same_answer_from_the_records_alone(records):
    plan = searched(records)
    existing = records.load().records
    first, *lines = plan.answer(existing).splitlines()
    assert declared_plan(records.manifest()).answer(existing).splitlines() == [first, *sorted(lines)]


def test_the_lower_loss_breaks_a_tie_of_aucs(records):
    plan = searched(records, auc=lambda config: 1.0)
    study = plan.studies[0]
    assert load_best_settings(records).of({"dataset": "synthetic", "method": "baseline"})["lr"] == study.random(0).lr
    assert "baseline on synthetic at severity 1: lr" in plan.answer(records.load().records)


def test_each_of_several_severities_has_its_settings_and_the_only_one_serves_all():
    rates = {0.0: 0.1, 0.5: 0.2}
    by_cell = {("synthetic", s, m): {"lr": rate} for s, rate in rates.items() for m in PAPER_METHODS}
    for severity, rate in rates.items():
        plan = make_plan("paper_seeds", None, {"severity": severity}, None, BestSettings("s", by_cell))
        assert {config.lr for config in plan.trials.values()} == {rate}
    with pytest.raises(UserError, match=r"at severity 1\.0; it has .* or --set severity=NUMBER"):
        make_plan("paper_seeds", None, {}, None, BestSettings("s", by_cell))
    only = BestSettings("s", {("synthetic", 1.0, "rrr"): {"lr": 0.1}})
    assert only.of({"dataset": "synthetic", "method": "rrr", "severity": 0.5}) == {"lr": 0.1}


def test_another_dataset_is_searched_without_the_settings_of_the_first():
    plan = make_plan("paper_search", "decoy_digits", FEW, None)
    assert plan.planned == 7 * 51
    assert all(c.dataset == "decoy_digits" and "variant" not in c.flat() for c in plan.trials.values())
    tuned = {t.setting for study in plan.studies for t in study.tuned}
    assert tuned == {"lr", "strength", "disc_iter", "disc_lr"}, "mask_dilation is tuned on the crosses only"


def test_a_sweep_without_best_settings_is_refused(records, tmp_path):
    with pytest.raises(UserError, match=r"there is no sweep at .*; check the name and --storage"):
        load_best_settings(records)
    other = open_records(str(tmp_path), "other", fresh=False)
    declare(other, make_plan("smoke", None, {}, 1), "python sweep.py")
    with pytest.raises(UserError, match="space 'smoke' of that sweep has no search; name a sweep"):
        load_best_settings(other)
    searched(records, status="diverged")
    with pytest.raises(UserError, match="none of its trials completed; run that search first"):
        load_best_settings(records)
    searched(records, methods=("rrr",))
    with pytest.raises(UserError, match=r"no completed trial of method 'baseline' on .*; it has rrr on synthetic"):
        make_plan("paper_seeds", None, {}, None, load_best_settings(records))


def test_a_dry_run_shows_the_ranges(records, monkeypatch):
    monkeypatch.setattr(cost, "estimated_seconds", lambda trials: 60.0 * len(list(trials)))
    out = io.StringIO()
    plan = plan_of()
    show_plan(Console(file=out, width=200), "here", plan, plan.pending(records.load().records), 2)
    shown = " ".join(out.getvalue().split())
    for piece in ("lr from 1e-05 to 0.01, log", "mask_dilation from 0 to 4", "42 to run", "highest validation AUC"):
        assert piece in shown
    assert "About 0:21:00 with 2 trials at a time" in shown


def test_sweep_json_declares_the_search(records):
    declare(records, plan_of(), "python sweep.py")
    search = records.manifest().search
    assert (search.sampler, search.seed, search.startup) == ("tpe", 1234, 5)
    assert search.settings["strength"] == (1e-4, 10.0)
    assert records.manifest().planned_trials == 42
