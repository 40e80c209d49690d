"""From trials to the answer: every correlation and estimand, the power to see one, and the verdict."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.answer.collapsed import WithoutCollapsed, without_collapsed
from analysis.answer.correlations import Progress, correlate, reference
from analysis.answer.entry import Correlation
from analysis.answer.estimands import Estimands, estimands_of
from analysis.answer.simpson import Disagreement, disagreements
from analysis.answer.verdict import SMALLEST_EFFECT, Verdict, decide
from analysis.errors import AnalysisError
from analysis.report.numbers import count
from analysis.sections.mask_controls import MaskControls, mask_controls
from analysis.sections.methods import MethodRow, method_rows, strength_rows
from analysis.sections.selection_rules import SelectionRules, selection_rules
from analysis.stats.cluster_bootstrap import REPLICATES, draw_resamples
from analysis.stats.cluster_jackknife import MINIMUM_CLUSTERS
from analysis.stats.power import (
    ALPHA,
    POWER,
    minimal_detectable,
    minimal_detectable_from_error,
    minimal_detectable_of,
)
from analysis.stats.rank_correlation import CLIP
from analysis.trials.exclusions import trials_from_table
from analysis.trials.trials import Primary, Trials
from records import columns

MINIMUM_REPLICATES = 100


@dataclass(frozen=True)
class Power:
    """The smallest |rho| a two-sided test at level `alpha` finds with chance `power`, or None."""

    alpha: float
    power: float
    within_cell: float | None
    """Cells combined, trials taken as independent."""
    within_cell_clustered: float | None
    """The same from the cluster jackknife's standard error, which knows that trials share data seeds."""
    typical_cell: float | None
    """Within one cell of the median size."""
    typical_cell_n: int | None


@dataclass(frozen=True)
class Analysis:
    """Everything a report needs, and nothing that has to be computed again."""

    trials: Trials
    primary: Primary
    correlations: tuple[Correlation, ...]
    methods: tuple[MethodRow, ...]
    strengths: tuple[MethodRow, ...]
    """By strength, of the cells that have several."""
    reference: tuple[Correlation, ...]
    """AUC on the ID test set against the outcome, within cells: what the map has to beat. Over everything, then in each
    stratum; none in tables without it."""
    power: Power
    verdict: Verdict
    disagreements: tuple[Disagreement, ...]
    """Scores whose pooled and within-cell correlations differ in sign or by more than their intervals."""
    without_collapsed: WithoutCollapsed | None
    """The primary without models that answer every image alike; None where no trial is marked so."""
    selection_rules: SelectionRules | None
    """The selection rules held against each other; None where the trials have one."""
    controls: MaskControls | None
    """Wrong masks, fewer masks and the like against right ones; None where there are none."""
    estimands: Estimands
    """What else the primary's score is asked."""
    notes: tuple[str, ...]
    replicates: int
    seed: int

    def find(
        self,
        scope: str,
        statistic: str = "spearman",
        *,
        dataset: str | None = None,
        severity: float | None = None,
        method: str | None = None,
    ) -> Correlation | None:
        """The primary's correlation at one scope, or None where the grid has none."""
        wanted = (scope, statistic, dataset, severity, method)
        for entry in self.primary_correlations:
            if (entry.scope, entry.statistic, entry.dataset, entry.severity, entry.method) == wanted:
                return entry
        return None

    @property
    def primary_correlations(self) -> list[Correlation]:
        """The primary's part of the grid."""
        score = (self.primary.split, self.primary.metric, self.primary.attribution)
        return [c for c in self.correlations if (c.split, c.metric, c.attribution) == score]


def analyse(
    trials: Trials | pd.DataFrame,
    *,
    smallest_effect: float = SMALLEST_EFFECT,
    replicates: int = REPLICATES,
    seed: int = 0,
    progress: Progress | None = None,
) -> Analysis:
    """Correlate every localisation score with the outcome, decide on the primary and ask it all else.

    Args:
        trials: from `load_sweep`, `load_file` or `load_mlflow`, or a data frame with a record's columns.
        smallest_effect: smallest correlation of interest, in (0, 1).
        replicates: of the cluster bootstrap, at least 100; 2,000 or more for an interval worth printing.
        seed: of the bootstrap and of drawn permutations; the same seed gives the same numbers.
        progress: called as (parts done, parts in all) while the grid is computed.

    Raises:
        AnalysisError: an argument is out of range or the data frame cannot be analysed.
    """
    if not 0 < smallest_effect < 1:
        raise AnalysisError(f"bad smallest effect {smallest_effect:g}: a rank correlation between 0 and 1, such as 0.3")
    if replicates < MINIMUM_REPLICATES:
        raise AnalysisError(
            f"bad number of replicates {replicates}: at least {MINIMUM_REPLICATES}; leave it out for {REPLICATES}"
        )
    if isinstance(trials, pd.DataFrame):
        trials = trials_from_table(trials, sweep="table", source="a data frame")
    notes = list(trials.notes)
    primary = _choose_primary(trials, notes)
    resamples = draw_resamples(trials.table, replicates=replicates, seed=seed)
    grid = tuple(correlate(trials.table, primary.outcome, resamples, seed=seed, primary=primary, progress=progress))
    within = next((c for c in grid if _is_headline(c, primary)), None)
    notes += _interval_notes(trials.table, within)
    if trials.controls is not None:
        notes.append(
            f"{count(len(trials.controls), 'control')} of the masks (wrong masks, fewer of them, or masks at test "
            "time) did not enter the answer or any correlation; the section on controls holds them against right masks."
        )
    return Analysis(
        trials=trials,
        primary=primary,
        correlations=grid,
        methods=tuple(method_rows(trials.table, primary)),
        strengths=tuple(strength_rows(trials.table, primary)),
        reference=reference(trials.table, primary.outcome, resamples, seed=seed),
        power=_power(grid, primary, within),
        verdict=decide(within, primary, smallest_effect),
        disagreements=tuple(disagreements(grid)),
        without_collapsed=without_collapsed(trials.table, primary, within, replicates=replicates, seed=seed),
        selection_rules=None
        if trials.all_selections is None
        else selection_rules(trials.all_selections, primary, replicates=replicates, seed=seed),
        controls=mask_controls(
            trials.table, trials.table.iloc[:0] if trials.controls is None else trials.controls, primary
        ),
        estimands=estimands_of(trials.table, primary.column, primary.outcome, resamples, seed=seed),
        notes=tuple(notes),
        replicates=replicates,
        seed=seed,
    )


def _is_headline(entry: Correlation, primary: Primary) -> bool:
    score = (entry.split, entry.metric, entry.attribution)
    return score == (primary.split, primary.metric, primary.attribution) and (
        entry.scope,
        entry.statistic,
        entry.stratum,
    ) == ("within_cell", "spearman", None)


def _choose_primary(trials: Trials, notes: list[str]) -> Primary:
    wanted = trials.primary or Primary()
    if wanted.outcome not in trials.table:
        raise AnalysisError(
            f"{trials.source}: the primary's outcome {wanted.outcome!r} is in no trial; "
            f"declare one of {', '.join(_outcomes(trials.table))}"
        )
    if trials.primary is None:
        notes.append("No primary comparison was declared; the default one is used.")
    if wanted.column in trials.table:
        return wanted
    if not trials.free_primary:
        notes.append(f"The primary's column {wanted.column!r} is in no trial, so there is no verdict.")
        return wanted
    first = trials.localisation_columns[0]
    split, metric, attribution = columns.parse_localisation(first) or ("", "", "")
    notes.append(
        f"The table has no column {wanted.column!r}; its first localisation column, {first!r}, stands in as "
        "the primary. It was not declared beforehand."
    )
    return Primary(split, metric, attribution, wanted.outcome)


def _outcomes(table: pd.DataFrame) -> list[str]:
    known = [columns.performance(s, m) for s in columns.SPLITS for m in columns.PERFORMANCE]
    return [name for name in known if name in table]


def _interval_notes(table: pd.DataFrame, within: Correlation | None) -> list[str]:
    per_dataset = table.groupby("dataset")["data_seed"].nunique()
    few = per_dataset[per_dataset < MINIMUM_CLUSTERS]
    notes = []
    if len(few):
        told = ", ".join(f"{n} on {dataset}" for dataset, n in few.items())
        notes.append(
            f"There are fewer than {MINIMUM_CLUSTERS} data seeds ({told}): there is no interval there but for "
            "trials that share no images."
        )
    if within is not None and within.n_clipped:
        notes.append(
            f"{count(within.n_clipped, 'cell')} of the primary had a correlation beyond ±{CLIP}; it was "
            "clipped there before cells were combined."
        )
    if within is not None and within.n_missing:
        notes.append(
            f"{count(within.n_missing, 'trial')} had no outcome or no score of the primary and did not "
            "enter its correlations."
        )
    return notes


def _power(grid: Sequence[Correlation], primary: Primary, within: Correlation | None) -> Power:
    score = (primary.split, primary.metric, primary.attribution, "cell", "spearman")
    sizes = sorted(
        c.n
        for c in grid
        if (c.split, c.metric, c.attribution, c.scope, c.statistic) == score and c.estimate is not None
    )
    typical = sizes[(len(sizes) - 1) // 2] if sizes else None
    error = within.standard_error if within else None
    return Power(
        alpha=ALPHA,
        power=POWER,
        within_cell=minimal_detectable(within.weight or 0.0) if within else None,
        within_cell_clustered=None
        if error is None
        else minimal_detectable_from_error(error, within.df if within else None),
        typical_cell=None if typical is None else minimal_detectable_of(typical),
        typical_cell_n=typical,
    )
