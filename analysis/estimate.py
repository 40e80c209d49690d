"""What every estimand reports: an estimate, an interval, and the reason where there is none."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.cluster_bootstrap import MINIMUM_CLUSTERS, MINIMUM_DEFINED, Resamples, percentile_interval
from analysis.rank_correlation import Floats


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


def bounds(replicates: Floats, resamples: Resamples, rows: NDArray[np.intp]) -> dict[str, Any]:
    """The interval fields of an `Estimate` from its bootstrap replicates: the middle 95 % of them.

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
