"""Notes on a plan before it runs."""

from collections.abc import Sequence

from analysis.numbers import count, listed
from analysis.trials.fixed import other_setting
from driver.plan.plan import Plan, declared_space
from records import Manifest
from records.store import Record, as_table


def seeds_note(plan: Plan) -> str | None:
    """The size of a seed, and the place where the plan ends inside one; None if seeds differ in size.

    Example: "32 trials are one seed; 70 are 2 seeds and 6 of the next: --max-trials 64 or 96 ends with a whole seed".
    """
    if plan.replicate is None:
        return None
    whole, rest = divmod(plan.planned, plan.replicate)
    text = f"{count(plan.replicate, 'trial')} are one seed"
    if rest:
        ends = " or ".join(str(n * plan.replicate) for n in (whole, whole + 1) if n)
        seeds = f"{count(whole, 'seed')} and {rest:,} of the next" if whole else "part of one"
        return f"{text}; {plan.planned:,} are {seeds}: --max-trials {ends} ends with a whole seed"
    if whole <= 1:
        return text
    seeds = count(whole, "seed")
    data_seeds = len({config.data_seed for config in plan.trials.values()})
    if whole > data_seeds and whole % data_seeds == 0:
        seeds += f": {count(data_seeds, 'data seed')} with {whole // data_seeds} training seeds each"
    return f"{text}; {plan.planned:,} are {seeds}"


def declared_note(plan: Plan, manifest: Manifest) -> str | None:
    """How the declaration of the sweep differs from that of this command; None if both are the same."""
    space, first = plan.space, declared_space(plan.space, manifest)
    parts = [f"space {manifest.space}"] if manifest.space not in (None, space.name) else []
    if first.primary != space.primary:
        parts.append(f"primary {first.primary}")
    if set(first.comparisons) != set(space.comparisons):
        parts.append(f"comparisons {listed(first.comparisons)}")
    if not parts:
        return None
    return (
        f"This sweep was declared with {listed(parts)}; the report keeps that. To use what this command declares, "
        "choose another --name, or --fresh."
    )


def others_note(plan: Plan, records: Sequence[Record]) -> str | None:
    """How many records other commands left in the sweep, and whether the report includes them; None if none."""
    others = plan.others(records)
    if not others:
        return None
    # The planned trials show which settings the others lack.
    table = as_table([*others, *(config.columns() for config in plan.trials.values())])
    reasons = other_setting(table, plan.fixed())
    excluded = reasons[reasons != ""]
    effect = "They count in the report."
    if len(excluded):
        parts = listed([f"{n:,} with {reason}" for reason, n in excluded.value_counts().items()])
        effect = f"The report leaves out {parts}."
    return (
        f"This sweep also has {count(len(others), 'record')} that this command would not make. {effect} "
        "To keep sweeps apart, choose another --name, or --fresh."
    )
