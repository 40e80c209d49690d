"""The parts of the report, one file each, in the order in which a reader meets them.

To add a statistic, add a file here that ends in a `SECTION` and a line in `SECTIONS`. The file has everything about the
statistic: the result's dataclass and computation, sentence, table, figure and explanation.
"""

from dataclasses import replace
from pkgutil import resolve_name
from typing import Any

import pandas as pd

from analysis.answer.answer import Analysis, answer
from analysis.answer.correlations import Progress
from analysis.answer.verdict import SMALLEST_EFFECT
from analysis.sections.section import Section
from analysis.stats.cluster_bootstrap import REPLICATES
from analysis.trials.trials import Trials

SECTIONS: tuple[Section[Any], ...] = tuple(
    resolve_name(f"analysis.sections.{name}")
    for name in (
        "selection_regret:SECTION",
        "comparisons:SECTION",
        "single_trainings:SECTION",
        "predictors:SECTION",
        "comparisons:IN_WORDS",
        "scores:POOLING",
        "head:SECTION",
        "strata:SECTION",
        "correlations:SECTION",
        "collapsed:SECTION",
        "scores:SECTION",
        "ranking:SECTION",
        "methods:SECTION",
        "strength_choices:SECTION",
        "strengths:SECTION",
        "selection_rules:SECTION",
        "mask_controls:SECTION",
        "granulated_kendall:SECTION",
        "sign_error:SECTION",
        "conditional_mutual_information:SECTION",
        "same_images:SECTION",
        "per_image:SECTION",
        "maps:SECTION",
        "map_browser:SECTION",
    )
)


def analyse(
    trials: Trials | pd.DataFrame,
    *,
    smallest_effect: float = SMALLEST_EFFECT,
    replicates: int = REPLICATES,
    seed: int = 0,
    progress: Progress | None = None,
) -> Analysis:
    """The answer, and the result of every section.

    Args:
        trials: from `load_sweep`, `load_file` or `load_mlflow`, or a data frame with a record's columns.
        smallest_effect: smallest correlation of interest, in (0, 1).
        replicates: bootstrap replicates and permutations, at least 100; 2,000 or more for numbers worth printing.
        seed: of the bootstrap and of drawn permutations; the same seed gives the same numbers.
        progress: called as (parts done, parts in all) while the correlations are computed.

    Raises:
        AnalysisError: an argument is out of range or the data frame cannot be analysed.
    """
    answered = answer(trials, smallest_effect=smallest_effect, replicates=replicates, seed=seed, progress=progress)
    results = {section.key: section.compute(answered) for section in SECTIONS if section.compute is not None}
    return replace(answered, results=results)
