"""One entry of the grid: the rank correlation of a localisation score with an outcome, its interval and p-values."""

from dataclasses import dataclass

Score = tuple[str, str, str]
"""Split, metric and attribution."""


@dataclass(frozen=True)
class Correlation:
    """One entry of the grid; fields that do not apply to its scope are None.

    The interval (ci_low, ci_high) is made by the method that `interval` names:

    - cluster_jackknife, with at least 6 data seeds on each dataset;
    - fisher_z, with fewer data seeds if no two trials share one; also if leaving out a data seed never changes the
      correlation, such as a perfect one, with the number of data seeds in place of trials;
    - None otherwise, with the reason in `interval_reason`. Between methods, the comparison `method` has the interval.
    """

    split: str
    metric: str
    attribution: str
    outcome: str
    scope: str
    statistic: str
    stratum: str | None
    """Dataset, severity and method, as far as the scope fixes them, such as "crosses, s = 0.8, rrr"."""
    dataset: str | None
    severity: float | None
    method: str | None
    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    n: int = 0
    """Number of trials; of methods for the scope between_methods."""
    n_clusters: int = 0
    """Number of data seeds among the trials."""
    n_missing: int = 0
    """Number of trials dropped because the outcome or this localisation score is missing."""
    p_value: float | None = None
    """Of a correlation of zero, by the method of the interval; between methods, by permutation."""
    p_adjusted: float | None = None
    """Benjamini-Hochberg over all entries of this scope and statistic; None for the declared or default primary."""
    interval: str | None = None
    interval_reason: str | None = None
    """Why there is an estimate without an interval."""
    reason: str | None = None
    """Why the estimate is undefined."""
    n_cells: int | None = None
    n_degenerate: int | None = None
    n_clipped: int | None = None
    weight: float | None = None
    q: float | None = None
    i_squared: float | None = None
    standard_error: float | None = None
    """Of Fisher's z, by the cluster jackknife, with its degrees of freedom."""
    df: float | None = None
    p_permutation: float | None = None
    """For rho within cells, by permuting the localisation score; None where few trials can change places."""

    @property
    def score(self) -> Score:
        return self.split, self.metric, self.attribution

    @property
    def place(self) -> tuple[str, float] | None:
        """Dataset and severity, None over all strata."""
        return None if self.dataset is None or self.severity is None else (self.dataset, self.severity)


def is_headline(entry: Correlation) -> bool:
    """Whether the entry is Spearman's rho within cells over all strata."""
    return (entry.scope, entry.statistic, entry.stratum) == ("within_cell", "spearman", None)
