"""What every estimand reports: an estimate, an interval, and the reason where there is none."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.stats import cluster_jackknife
from analysis.stats.cluster_bootstrap import MINIMUM_CLUSTERS, MINIMUM_DEFINED, Resamples, percentile_interval
from analysis.stats.rank_correlation import LEVEL, Floats


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval; None where undefined, with the reason."""

    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    reason: str | None = None
    """Why there is no estimate."""
    interval_reason: str | None = None
    """Why there is an estimate without an interval."""


def jackknife_bounds(estimate: float, deleted: Floats, dataset: NDArray[np.intp]) -> dict[str, Any]:
    """The interval fields of an `Estimate` by the delete-one-data-seed jackknife, on the estimate's own scale.

    estimate ± t SE with SE² = sum over datasets of (G − 1) / G sum over its G data seeds of (value without it − their
    mean)², and t on data seeds − datasets degrees of freedom. For a mean over data seeds it is Student's interval.

    Args:
        deleted: the estimate without each data seed.
        dataset: the dataset of each data seed.
    """
    names, per_dataset = np.unique(dataset, return_counts=True)
    if per_dataset.min() < cluster_jackknife.MINIMUM_CLUSTERS:
        return {"interval_reason": too_few()}
    if not np.isfinite(deleted).all():
        return {"interval_reason": UNDEFINED_WITHOUT_ONE}
    groups = [deleted[dataset == name] for name in names]
    variance = sum((len(g) - 1) / len(g) * float(((g - g.mean()) ** 2).sum()) for g in groups)
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, len(deleted) - len(names))) * math.sqrt(variance)
    return {"ci_low": estimate - reach, "ci_high": estimate + reach}


UNDEFINED_WITHOUT_ONE = "undefined without one of the data seeds"


def too_few() -> str:
    """Why the jackknife gives no interval."""
    return f"fewer than {cluster_jackknife.MINIMUM_CLUSTERS} data seeds on a dataset"


def bounds(replicates: Floats, resamples: Resamples, rows: NDArray[np.intp]) -> dict[str, Any]:
    """The interval fields of an `Estimate` by the cluster bootstrap: the middle 95 % of the replicates.

    No interval with fewer than 10 data seeds per dataset, or where under 90 % of the replicates are defined.

    Args:
        rows: positions of the trials used, in the table the resamples were drawn from.
    """
    if not resamples.enough(rows):
        return {"interval_reason": f"fewer than {MINIMUM_CLUSTERS} data seeds on a dataset"}
    found = percentile_interval(replicates)
    if found is None:
        share = float(np.isfinite(replicates).mean()) if len(replicates) else 0.0
        return {"interval_reason": f"defined in {share:.0%} of the bootstrap replicates, under {MINIMUM_DEFINED:.0%}"}
    return {"ci_low": found[0], "ci_high": found[1]}
