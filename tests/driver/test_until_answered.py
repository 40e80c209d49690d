"""`--until answered`: each block is a complete design, a look follows it, and later commands keep a sweep ended."""

import io
import json
from functools import partial

import numpy as np
import pytest
from rich.console import Console
from support.sweep_requests import make_request
from support.until_spaces import PER_SEED, write_space

from driver import UserError
from driver.plan.blocks import expected_note, looks_note, until_answered
from driver.plan.make_plan import make_plan
from driver.plan.plan import declare, declared_plan, open_records
from driver.run_sweep import run_sweep
from driver.until_answered import run_blocks
from driver.upkeep.stop import Stop
from driver.view.log import SweepLog
from driver.view.progress import Progress
from records import columns
from records.manifest import Looks

SCORE, OUTCOME, CONTROL = "test_ood.iou.integrated_gradients", "test_ood.auc", "valid_id.auc"
CLEAR, MODERATE = 0.999, 0.85


@pytest.fixture
def plan_of(tmp_path):
    def make(seeds=10, comparisons=("seed",)):
        return make_plan(write_space(tmp_path, "answerable", seeds, comparisons), None, {}, None)

    return make


@pytest.fixture
def records(tmp_path):
    return open_records(str(tmp_path / "sweeps"), "answerable", fresh=False)


class Trained:
    """Writes records instead of training, and counts the trials of each queue."""

    def __init__(self, records, rho=CLEAR, dies_after=None):
        self.records, self.rho, self.dies_after, self.sizes = records, rho, dies_after, []

    def __call__(self, queue):
        trials = [trial for training in queue.trainings for trial in training]
        self.sizes.append(len(trials))
        for number, config in enumerate(trials):
            if self.dies_after == sum(self.sizes[:-1]) + number:
                raise KeyboardInterrupt
            # The same scores whenever the trial runs.
            first, second, third = np.random.default_rng(int(config.trial_key, 16)).normal(size=3)
            scores = {SCORE: 0.4 + 0.05 * first, CONTROL: 0.9 + 0.02 * third}
            scores[OUTCOME] = 0.7 + 0.05 * (self.rho * first + (1 - self.rho**2) ** 0.5 * second)
            ended = {"status": "completed", "schema_version": columns.SCHEMA_VERSION}
            self.records.write({**config.columns(), **ended, **scores})


def run(plan, records, train):
    """Run one command. Returns its output and the final plan."""
    plan = until_answered(plan, records.manifest())
    declare(records, plan, "python sweep.py")
    out = io.StringIO()
    progress = Progress(Console(file=out, width=400), plan.planned)
    return out, run_blocks(plan, records, train, progress, SweepLog(records), Stop())


def test_a_sweep_ends_at_the_look_that_answers_it(plan_of, records):
    train = Trained(records)
    out, ended = run(plan_of(), records, train)
    assert train.sizes == [6 * PER_SEED]
    assert ended.planned == 6 * PER_SEED == records.manifest().planned_trials
    assert records.manifest().looks == Looks((6, 8, 10), 1, "answered")
    assert "Look 1 of 3, with 6 of 10 data seeds: seeds yes. The sweep ends" in out.getvalue()
    assert f"{4 * PER_SEED} trials saved" in out.getvalue()
    again = Trained(records)
    _, same = run(plan_of(), records, again)
    assert again.sizes == []
    assert same.planned == ended.planned
    assert "ended at look 1 of 3, with 6 of 10 data seeds" in looks_note(same)


def test_a_killed_sweep_goes_on_in_its_block_and_ends_as_an_undisturbed_one(plan_of, records, tmp_path):
    whole = open_records(str(tmp_path / "other"), "answerable", fresh=False)
    undisturbed = Trained(whole, MODERATE)
    run(plan_of(), whole, undisturbed)
    assert undisturbed.sizes[:2] == [6 * PER_SEED, 2 * PER_SEED], "the first look decides nothing"
    with pytest.raises(KeyboardInterrupt):
        run(plan_of(), records, Trained(records, MODERATE, dies_after=6 * PER_SEED + 5))
    assert records.manifest().looks.taken == 1
    resumed = Trained(records, MODERATE)
    run(plan_of(), records, resumed)
    assert resumed.sizes == [2 * PER_SEED - 5, *undisturbed.sizes[2:]]
    assert records.manifest().looks == whole.manifest().looks
    assert records.done() == whole.done()


def test_a_look_that_was_not_taken_is_taken_by_the_next_command(plan_of, records):
    plan = until_answered(plan_of(), None)
    declare(records, plan, "python sweep.py")
    block = plan.on_first(6)
    Trained(records)(block.queue(records, [], 1))
    train = Trained(records)
    _, ended = run(plan_of(), records, train)
    assert train.sizes == []
    assert ended.looks == Looks((6, 8, 10), 1, "answered")


def test_skipped_trials_mean_no_look(plan_of, records):
    _, plan = run(plan_of(), records, lambda queue: Trained(records)(Queued(queue.trainings[1:])))
    assert (plan.looks.taken, records.manifest().looks.taken) == (0, 0)
    assert plan.planned == 10 * PER_SEED


class Queued:
    def __init__(self, trainings):
        self.trainings = trainings


def test_a_command_without_the_option_runs_the_rest_and_the_looks_still_count(plan_of, records):
    run(plan_of(), records, Trained(records))
    declare(records, plan_of(), "python sweep.py")
    assert records.manifest().looks == Looks((6, 8, 10), 1, None)
    assert records.manifest().planned_trials == 10 * PER_SEED
    assert declared_plan(records.manifest()).planned == 10 * PER_SEED


def test_plans_without_whole_blocks_are_refused(plan_of, records):
    search = make_plan("paper_search", None, {}, None)
    cut = make_plan("smoke", None, {}, 70)
    for plan, manifest, problem in (
        (search, None, "cannot run space 'paper_search', whose trials are chosen by earlier results; leave it out"),
        (cut, None, "needs the same configurations on each data seed, and data seeds 0 and 2 differ; change the space"),
        (plan_of(5), None, "needs at least 6 data seeds, and this plan has 5; use a space with more, or leave it out"),
    ):
        with pytest.raises(UserError, match=f"--until answered {problem}"):
            until_answered(plan, manifest)
    run(plan_of(), records, Trained(records))
    with pytest.raises(UserError, match="began with --until answered and 10 data seeds, and this command plans 12"):
        until_answered(plan_of(12), records.manifest())


def test_the_dry_run_says_when_it_looks_and_the_expected_trials(tmp_path):
    out = io.StringIO()
    space = write_space(tmp_path, "answerable", 12, ("seed", "setting"))
    request = make_request(tmp_path / "sweeps", space=space, until="answered", dry_run=True)
    run_sweep(request, Console(file=out, width=400))
    assert "analysed with 6, 8, 10 and 12 data seeds" in out.getvalue()
    assert "Expected trials, of 96 and at least 48: " in out.getvalue()


def test_a_stronger_correlation_is_expected_to_take_fewer_trials(plan_of):
    note = partial(expected_note, until_answered(plan_of(20), None))()
    at_least = float(note.partition("at least ")[2].split(":")[0].replace(",", ""))
    weak, strong = (float(note.partition(f" if ρ = {rho}")[0].split()[-1].replace(",", "")) for rho in ("0.4", "0.6"))
    assert at_least <= strong < weak <= 20 * PER_SEED
    assert expected_note(plan_of(6)) is None


@pytest.mark.parametrize("looks", [{"planned": [8, 6]}, {"planned": []}, {"planned": [6], "taken": 2}, {"seeds": 6}])
def test_damaged_looks_are_an_error_of_one_line(plan_of, records, looks):
    declare(records, plan_of(), "python sweep.py")
    file = records.storage.root / "answerable" / "sweep.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "looks": looks}))
    with pytest.raises(ValueError, match="looks") as error:
        records.manifest()
    assert "\n" not in str(error.value)
