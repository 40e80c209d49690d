"""Runs a plan block by block and looks at the answer after each, until it is answered or the plan cannot answer it."""

from collections.abc import Callable
from dataclasses import replace

from analysis.answer.looks import ENDS
from analysis.answer.stopping import Decision, decide
from analysis.answer.verdict import LABELS
from analysis.errors import AnalysisError
from analysis.numbers import capitalized, count, listed, percent
from analysis.trials.load import trials_of_sweep
from driver.plan.blocks import OPTION
from driver.plan.plan import Plan, Queue
from driver.terminal import say
from driver.upkeep.stop import Stop
from driver.view.log import SweepLog
from driver.view.progress import Progress
from records import Manifest, SweepRecords
from records.manifest import Looks
from records.store import as_table


def run_blocks(
    plan: Plan, records: SweepRecords, run: Callable[[Queue], object], progress: Progress, log: SweepLog, stop: Stop
) -> Plan:
    """Run the blocks that are not done, and return the plan up to the look at which the sweep ended.

    Each look is kept in sweep.json, so that a later command goes on after it. A look needs every trial of its data
    seeds, except those that failed; if a broken method's trials were skipped, there is none.
    """
    looks, whole = plan.looks, plan
    while looks is not None and looks.end is None:
        block = plan.on_first(looks.planned[looks.taken])
        if pending := block.pending(records.load().records):
            run(Queue(pending))
        stop.check()
        loaded = records.load()
        own = [record for record in loaded.records if block.owns(record)]
        if len(own) < block.planned:
            return whole
        looks = replace(looks, taken=looks.taken + 1)
        try:
            decision = decide(replace(trials_of_sweep(records, as_table(own)), looks=looks))
        except AnalysisError:
            # For example, every trial failed; the end of the sweep says so.
            return whole
        looks = replace(looks, end=decision.end)
        plan = replace(whole if looks.end is None else block, looks=looks)
        planned = plan.planned + len(plan.others(loaded.records))
        records.write_manifest(replace(records.manifest() or Manifest(), looks=looks, planned_trials=planned))
        answers = {result.comparison: result.answer for result in decision.comparisons}
        log.event("look", look=looks.taken, end=looks.end, answers=answers)
        say(progress.console, _sentence(looks, decision))
        progress.total = plan.planned
    if saved := whole.planned - plan.planned:
        say(progress.console, f"{count(saved, 'trial')} saved; without {OPTION} the command runs the rest of the plan")
    return plan


def _sentence(looks: Looks, decision: Decision) -> str:
    """As in "Look 1 of 3, with 6 of 10 data seeds: seeds yes, methods undecided (3 % that the plan decides it)."."""
    parts = []
    for result in decision.comparisons:
        power = decision.powers.get(result.comparison)
        chance = result.reason if power is None else f"{percent(power)} that the whole plan decides it"
        parts.append(f"{LABELS[result.comparison]} {result.answer}{f' ({chance})' if chance else ''}")
    end = f". The sweep ends: {ENDS[looks.end]}" if looks.end else ""
    return f"{capitalized(str(looks))}: {listed(parts)}{end}."
