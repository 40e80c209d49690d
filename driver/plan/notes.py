"""What people should know of a plan before it runs."""

from collections.abc import Sequence

from analysis.numbers import count, listed
from analysis.trials.fixed import other_setting
from driver.plan.plan import Plan
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
        return f"{text}; {plan.planned:,} are {count(whole, 'seed')}" if whole > 1 else text
    ends = " or ".join(str(n * plan.replicate) for n in (whole, whole + 1) if n)
    held = f"{count(whole, 'seed')} and {part:,} of the next" if whole else "part of one"
    return f"{text}; {plan.planned:,} are {held}: --max-trials {ends} ends with a whole seed"


def ends_inside_a_seed(plan: Plan) -> bool:
    """Whether the plan was cut short within a seed."""
    return plan.replicate is not None and plan.planned % plan.replicate > 0


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
