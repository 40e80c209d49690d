"""Plans of sweeps that run until they are answered: in blocks of data seeds, each with every configuration."""

from collections import Counter
from dataclasses import replace

from analysis.answer.looks import planned_looks
from analysis.answer.stopping import expected_data_seeds
from analysis.numbers import listed
from analysis.stats.replicated import MINIMUM_CLUSTERS
from driver import UserError
from driver.plan.plan import Plan
from records import Manifest, columns
from records.manifest import Looks

OPTION = "--until answered"
STATED = (0.0, 0.4, 0.5, 0.6)
"""Rank correlations for which a dry run gives the expected number of trials."""


def until_answered(plan: Plan, manifest: Manifest | None) -> Plan:
    """The plan with its looks, as the sweep declared them first; if the sweep has ended, its trials up to that look.

    Raises UserError if the plan has no blocks that are whole designs.
    """
    if plan.searcher is not None:
        raise UserError(
            f"{OPTION} cannot run space {plan.space.name!r}, whose trials are chosen by earlier results; leave it out, "
            "or choose a space without a search (see --list-spaces)"
        )
    data_seeds = plan.data_seeds
    designs = {seed: Counter[str]() for seed in data_seeds}
    for config in plan.trials.values():
        values = config.columns()
        designs[config.data_seed][repr({name: values[name] for name in columns.configuration_in(values)})] += 1
    unlike = [seed for seed, design in designs.items() if design != designs[data_seeds[0]]]
    if unlike:
        raise UserError(
            f"{OPTION} needs the same configurations on each data seed, and data seeds {data_seeds[0]} and {unlike[0]} "
            "differ; change the space or --max-trials, or leave it out"
        )
    if not (planned := planned_looks(len(data_seeds))):
        raise UserError(
            f"{OPTION} needs at least {MINIMUM_CLUSTERS} data seeds, and this plan has {len(data_seeds)}; use a space "
            "with more, or leave it out"
        )
    looks = manifest.looks if manifest is not None else None
    if looks is not None and looks.planned[-1] != planned[-1]:
        raise UserError(
            f"this sweep began with {OPTION} and {looks.planned[-1]} data seeds, and this command plans {planned[-1]}: "
            "the looks so far hold for the first plan only; repeat the earlier command, or choose another --name"
        )
    looks = looks or Looks(planned)
    plan = replace(plan, looks=looks)
    return plan if looks.end is None else plan.on_first(looks.planned[looks.taken - 1])


def looks_note(plan: Plan) -> str | None:
    """When the sweep is analysed, or where it ended; None for a plan without looks."""
    if (looks := plan.looks) is None:
        return None
    if looks.end is not None:
        return f"This sweep ended at {looks}. Without {OPTION} the command runs the rest of its plan."
    at = listed([f"{n:,}" for n in looks.planned])
    return f"It is analysed with {at} data seeds, and ends when its comparisons are decided or hardly can be."


def expected_note(plan: Plan) -> str | None:
    """The expected number of trials by correlation; None for a plan without looks, or whose sweep has ended."""
    if (looks := plan.looks) is None or looks.end is not None:
        return None
    each = plan.planned // looks.planned[-1]
    of_cells = Counter((c.dataset, c.severity, c.method) for c in plan.trials.values() if c.severity > 0)
    cells = [n // looks.planned[-1] for n in of_cells.values()]
    expected = (each * expected_data_seeds(looks.planned, rho, cells, len(plan.space.comparisons)) for rho in STATED)
    parts = listed([f"{n:,.0f} if ρ = {rho:g}" for n, rho in zip(expected, STATED, strict=True)])
    return (
        f"Expected trials, of {plan.planned:,} and at least {each * looks.planned[0]:,}: {parts}; for comparisons with "
        "this correlation within cells, counting trials as independent."
    )
