"""What people should know of a plan before it runs."""

from collections.abc import Mapping, Sequence

from analysis.numbers import count, listed
from analysis.trials.fixed import other_setting
from driver.plan.declared import declared_space
from driver.plan.plan import Plan
from records import Manifest
from records.store import Record, as_table


def seeds_note(plan: Plan) -> str | None:
    """The size of one seed, and where the plan ends inside one; None where seeds differ in size.

    As in "32 trials are one seed; 70 are 2 seeds and 6 of the next: --max-trials 64 or 96 ends with a whole seed".
    """
    if plan.replicate is None:
        return None
    whole, part = divmod(plan.planned, plan.replicate)
    text = f"{count(plan.replicate, 'trial')} are one seed"
    if not part:
        return f"{text}; {plan.planned:,} are {_seeds(plan, whole)}" if whole > 1 else text
    ends = " or ".join(str(n * plan.replicate) for n in (whole, whole + 1) if n)
    held = f"{count(whole, 'seed')} and {part:,} of the next" if whole else "part of one"
    return f"{text}; {plan.planned:,} are {held}: --max-trials {ends} ends with a whole seed"


def _seeds(plan: Plan, number: int) -> str:
    """As in "6 seeds", or "20 seeds: 10 data seeds with 2 training seeds each"."""
    data_seeds = len({config.data_seed for config in plan.trials.values()})
    each, rest = divmod(number, data_seeds)
    if each == 1 or rest:
        return count(number, "seed")
    return f"{count(number, 'seed')}: {count(data_seeds, 'data seed')} with {each} training seeds each"


def ends_inside_a_seed(plan: Plan) -> bool:
    """Whether the plan was cut short within a seed."""
    return plan.replicate is not None and plan.planned % plan.replicate > 0


def declared_note(plan: Plan, manifest: Manifest) -> str | None:
    """What the sweep declared first in place of what this command declares; None if both are the same."""
    space, first = plan.space, declared_space(plan.space, manifest)
    parts = [f"space {manifest.space}"] if manifest.space not in (None, space.name) else []
    if first.primary != space.primary:
        parts.append(f"primary {first.primary}")
    if set(first.comparisons) != set(space.comparisons):
        parts.append(f"comparisons {listed(first.comparisons)}")
    if not parts:
        return None
    return (
        f"This sweep was declared with {listed(parts)}; the report keeps that. For what this command declares, give it "
        "another --name, or --fresh."
    )


def unreadable_note(rejected: Mapping[str, str]) -> str | None:
    """Which files cannot be read as records, and what becomes of them; None if all can."""
    if not rejected:
        return None
    named = "; ".join(f"{path}: {reason}" for path, reason in rejected.items())
    files = count(len(rejected), "file is not a readable record", "files are not readable records")
    return f"{files} ({named}). A run moves them to set_aside/ and repeats their trials"


def others_note(plan: Plan, records: Sequence[Record]) -> str | None:
    """What other commands left in the sweep, what becomes of it, and how to keep it apart; None if nothing."""
    others = plan.others(records)
    if not others:
        return None
    # Among the planned trials it shows which of the others lack a setting that these have.
    table = as_table([*others, *(config.columns() for config in plan.trials.values())])
    reasons = other_setting(table, plan.fixed())
    excluded = reasons[reasons != ""]
    effect = "They count in the report."
    if len(excluded):
        named = listed([f"{n:,} with {reason}" for reason, n in excluded.value_counts().items()])
        effect = f"The report leaves out {named}."
    return (
        f"This sweep also holds {count(len(others), 'record')} that this command would not make. {effect} "
        "To keep sweeps apart, give this one another --name, or --fresh."
    )
