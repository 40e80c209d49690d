"""What a sweep and `python -m analysis` print last: what to do, what each rule for choosing costs, the comparisons."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from analysis.answer.answer import Analysis
from analysis.answer.verdict import evidence_in_short, question
from analysis.numbers import column_name, name, number, with_interval
from analysis.sections.choices import RULES
from analysis.sections.head import reading
from analysis.sections.selection_regret import decision, in_advance

DATASETS_ABREAST = 2  # more do not fit in 80 columns


def what_to_do(result: Analysis) -> Group | None:
    """The decision, and what each rule for choosing a model costs; None where rules are not compared."""
    if (said := decision(result)) is None:
        return None
    datasets = list(dict.fromkeys(result.trials.table["dataset"]))
    by_dataset = {(row.rule, row.dataset): row for row in result.results["regret"] if row.severity is None}
    shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
    shown.add_column("rule")
    shown.add_column(f"{column_name(result.primary.outcome)} lost\n(95\u00a0% interval)", no_wrap=True)
    abreast = datasets if 1 < len(datasets) <= DATASETS_ABREAST else []
    for dataset in abreast:
        shown.add_column(f"on {name(dataset)}", max_width=10)
    for row in in_advance(result):
        costs = [by_dataset.get((row.rule, dataset)) for dataset in abreast]
        shown.add_row(RULES[row.rule], with_interval(row), *(number(cost and cost.estimate) for cost in costs))
    return Group(Text(said.advice, style="bold"), said.certainty, "", shown, "", said.note)


def correlated(result: Analysis) -> Group | None:
    """The comparisons as questions with their answers; None if no comparison has a number."""
    if all(part.ci_low is None for part in result.comparisons):
        return None
    shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    for part in result.comparisons:
        shown.add_row(question(part), Text(part.answer, style="bold"), evidence_in_short(part))
    return Group("Does a better map mean a better model?", "", shown, "", reading(result))
