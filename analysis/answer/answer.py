"""From trials to the answer: the comparisons and their verdict, every correlation, the power to detect one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pandas as pd

from analysis.answer.cells import Data
from analysis.answer.combine import Comparison, combine, values_of
from analysis.answer.correlations import Progress, correlate, reference
from analysis.answer.entry import Correlation, Score, is_headline
from analysis.answer.looks import level_at, look_note, shares_of
from analysis.answer.verdict import SMALLEST_EFFECT, Verdict, answered, verdict
from analysis.errors import AnalysisError
from analysis.numbers import column_name, count
from analysis.stats.cluster_bootstrap import REPLICATES, Resamples, draw_resamples
from analysis.stats.rank_correlation import ALPHA, CLIP, FISHER_D, POWER, error_of, minimal_detectable
from analysis.stats.replicated import MINIMUM_CLUSTERS
from analysis.trials.exclusions import trials_from_table
from analysis.trials.trials import Primary, Trials
from records import columns

MINIMUM_REPLICATES = 100


@dataclass(frozen=True)
class Power:
    """The smallest |rho| that a two-sided test at level `alpha` detects with probability `power`, or None."""

    alpha: float
    power: float
    within_cell: float | None
    """Cells combined, trials treated as independent."""
    within_cell_clustered: float | None
    """The same from the cluster jackknife's standard error, which allows for shared data seeds."""
    typical_cell: float | None
    """Within a cell of the median size, `typical_cell_n`."""
    typical_cell_n: int | None


@dataclass(frozen=True, repr=False)
class Analysis:
    """Everything that a report needs: the answer, and the result of each section."""

    trials: Trials
    primary: Primary
    comparisons: tuple[Comparison, ...]
    correlations: tuple[Correlation, ...]
    reference: tuple[Correlation, ...]
    """AUC on the ID test set against the outcome (see `correlations.reference`)."""
    power: Power
    verdict: Verdict
    notes: tuple[str, ...]
    resamples: Resamples
    replicates: int
    seed: int
    results: Mapping[str, Any] = field(default_factory=dict)
    """Result of each section by its key; see analysis/sections."""

    def __repr__(self) -> str:
        answers = ", ".join(f"{one.comparison} {one.answer}" for one in self.comparisons)
        return f"<Analysis of {count(len(self.trials.table), 'trial')} of {self.trials.source}: {answers}>"

    @property
    def data(self) -> tuple[pd.DataFrame, str, str]:
        """The table, and the primary's two columns: localisation score and outcome."""
        return self.trials.table, self.primary.column, self.primary.outcome

    @property
    def score(self) -> Score:
        """Split, metric and attribution of the primary."""
        return self.primary.split, self.primary.metric, self.primary.attribution

    @property
    def stands_in(self) -> bool:
        """Whether the primary was picked from the table, which lacks the declared or default one."""
        return self.primary != (self.trials.primary or Primary())

    @property
    def primary_name(self) -> str:
        """The primary's localisation score as words."""
        return column_name(self.primary.column)

    def find(self, scope: str, statistic: str = "spearman", **place: str | float | None) -> Correlation | None:
        """The primary's correlation at one scope (and dataset, severity, method), or None where the grid has none."""
        wanted = {"scope": scope, "statistic": statistic, "dataset": None, "severity": None, "method": None, **place}
        matching = (e for e in self.primary_correlations if all(getattr(e, k) == v for k, v in wanted.items()))
        return next(matching, None)

    @property
    def primary_correlations(self) -> list[Correlation]:
        """The primary's part of the grid."""
        return [c for c in self.correlations if c.score == self.score]


def answer(
    trials: Trials | pd.DataFrame,
    *,
    smallest_effect: float = SMALLEST_EFFECT,
    replicates: int = REPLICATES,
    seed: int = 0,
    progress: Progress | None = None,
) -> Analysis:
    """Answer the comparisons of the primary, and correlate every localisation score with the outcome.

    Arguments and errors are those of `analysis.analyse`, which adds the results of the sections.
    """
    check_smallest_effect(smallest_effect)
    if replicates < MINIMUM_REPLICATES:
        raise AnalysisError(
            f"bad number of replicates {replicates}: give at least {MINIMUM_REPLICATES}, or omit it for {REPLICATES}"
        )
    if isinstance(trials, pd.DataFrame):
        trials = trials_from_table(trials, sweep="table", source="a data frame")
    notes = list(trials.notes)
    primary = _choose_primary(trials, notes)
    resamples = draw_resamples(trials.table, replicates=replicates, seed=seed)
    declared = primary if primary == (trials.primary or Primary()) else None
    grid = correlate(trials.table, primary.outcome, resamples, seed=seed, primary=declared, progress=progress)
    of_primary = [c for c in grid if c.score == (primary.split, primary.metric, primary.attribution)]
    within = next(filter(is_headline, of_primary), None)
    comparisons = comparisons_of(trials, primary, resamples, smallest_effect=smallest_effect, seed=seed)
    notes += _interval_notes(trials, within)
    notes += filter(None, [look_note(trials)])
    if trials.controls is not None:
        notes.append(
            f"{count(len(trials.controls), 'mask control')} (wrong masks, masks on fewer images, or masks at test "
            "time) did not enter the answer or any correlation; the section on mask controls compares them with right "
            "masks."
        )
    return Analysis(
        trials=trials,
        primary=primary,
        comparisons=comparisons,
        correlations=tuple(grid),
        reference=reference(trials.table, primary.outcome, resamples, seed=seed),
        power=_power(of_primary, within),
        verdict=verdict(comparisons, primary, smallest_effect),
        notes=tuple(notes),
        resamples=resamples,
        replicates=replicates,
        seed=seed,
    )


def comparisons_of(
    trials: Trials, primary: Primary, resamples: Resamples, *, smallest_effect: float, seed: int = 0
) -> tuple[Comparison, ...]:
    """The declared comparisons of the primary, each with its word and sentence. `seed` is that of random halves."""
    data = Data(trials.table, primary.column, primary.outcome, resamples, seed)
    results = combine(
        data,
        values_of(data, trials.comparisons),
        smallest_effect=smallest_effect,
        data_seeds_known=trials.data_seeds_known,
        level_of=partial(level_at, shares_of(trials)),
    )
    return tuple(answered(result, primary, smallest_effect) for result in results)


def check_smallest_effect(value: float) -> None:
    """Raise AnalysisError unless it is in (0, 1)."""
    if not 0 < value < 1:
        raise AnalysisError(f"bad smallest effect {value:g}: give a rank correlation between 0 and 1, such as 0.3")


def _choose_primary(trials: Trials, notes: list[str]) -> Primary:
    wanted = trials.primary or Primary()
    if wanted.outcome not in trials.table:
        outcomes = [columns.performance(split, measure) for split in columns.SPLITS for measure in ("auc", "accuracy")]
        raise AnalysisError(
            f"{trials.source}: the primary's outcome {wanted.outcome!r} is in no trial; "
            f"declare one of {', '.join(outcome for outcome in outcomes if outcome in trials.table)}"
        )
    if trials.primary is None:
        notes.append("No primary comparison was declared, so the default is used.")
    if wanted.column in trials.table:
        return wanted
    if not trials.free_primary:
        notes.append(f"The primary's column {wanted.column!r} is in no trial, so there is no verdict.")
        return wanted
    first = trials.localisation_columns[0]
    split, metric, attribution = columns.parse_localisation(first) or ("", "", "")
    notes.append(
        f"The table has no column {wanted.column!r}, so its first localisation column, {first!r}, stands in as the "
        "primary. It was not declared beforehand."
    )
    return Primary(split, metric, attribution, wanted.outcome)


def _interval_notes(trials: Trials, within: Correlation | None) -> list[str]:
    per_dataset = trials.table.groupby("dataset")["data_seed"].nunique()
    few = per_dataset[per_dataset < MINIMUM_CLUSTERS]
    notes = []
    if len(few) and trials.data_seeds_known:
        sizes = ", ".join(f"{n} on {dataset}" for dataset, n in few.items())
        notes.append(
            f"There are fewer than {MINIMUM_CLUSTERS} data seeds ({sizes}), so correlations there have an interval "
            "only among trials that share no images."
        )
    if within is not None and within.n_clipped:
        cells = count(within.n_clipped, "cell")
        notes.append(
            f"{cells} of the primary had a correlation beyond ±{CLIP}; it was clipped before cells were combined."
        )
    if within is not None and within.n_missing:
        without = count(within.n_missing, "trial")
        notes.append(f"{without} had no outcome or no score of the primary and did not enter its correlations.")
    return notes


def _power(correlations: Sequence[Correlation], within: Correlation | None) -> Power:
    """Of the primary, from its correlations."""
    at_cells = (c for c in correlations if (c.scope, c.statistic) == ("cell", "spearman"))
    sizes = sorted(c.n for c in at_cells if c.estimate is not None)
    typical = sizes[(len(sizes) - 1) // 2] if sizes else None
    return Power(
        alpha=ALPHA,
        power=POWER,
        within_cell=minimal_detectable(error_of(within.weight or 0.0)) if within else None,
        within_cell_clustered=minimal_detectable(within.standard_error, within.df) if within else None,
        typical_cell=minimal_detectable(error_of((typical or 0) - FISHER_D["spearman"])),
        typical_cell_n=typical,
    )
