"""Everything beside the correlations that one localisation score is asked: one file each, gathered here."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

from analysis.sections.conditional_mutual_information import (
    ConditionalMutualInformation,
    conditional_mutual_information,
)
from analysis.sections.granulated_kendall import GranulatedKendall, granulated_kendall
from analysis.sections.incremental_r2 import IncrementalR2, incremental_r2
from analysis.sections.mixed_model import MixedModel, mixed_model
from analysis.sections.partial_rank_correlation import PartialRankCorrelation, partial_rank_correlation
from analysis.sections.reliability import Reliability, reliability
from analysis.sections.selection_regret import Regret, selection_regret
from analysis.sections.sign_error import SignError, sign_error
from analysis.stats.cluster_bootstrap import Resamples
from records import columns

ID_ACCURACY = columns.performance("test_id", "auc")
SETTING = ("dataset", "severity", "method")


@dataclass(frozen=True)
class Estimands:
    """The field names are the keys of report.json."""

    granulated_kendall: GranulatedKendall
    sign_error: SignError
    conditional_mutual_information: ConditionalMutualInformation
    partial: tuple[PartialRankCorrelation, ...]
    """Given accuracy in distribution; and given it, dataset, severity and method."""
    incremental: tuple[IncrementalR2, ...]
    """Of the score alone; and of every localisation score of its split at once."""
    mixed_model: MixedModel
    regret: tuple[Regret, ...]
    reliability: Reliability

    def undefined(self) -> Iterator[tuple[str, str]]:
        """(name of the estimand, why it has no estimate), for all without one."""
        for field in fields(self):
            value = getattr(self, field.name)
            for entry in value if isinstance(value, tuple) else (value,):
                # Regrets by stratum follow the overall one, and would repeat its reason.
                if entry.reason is not None and getattr(entry, "dataset", None) is None:
                    yield field.name, entry.reason


def estimands_of(table: pd.DataFrame, score: str, outcome: str, resamples: Resamples, *, seed: int = 0) -> Estimands:
    """All estimands of one localisation column.

    Args:
        table: trials, as in `Trials.table`.
        score, outcome: columns; a score that the table lacks leaves each estimand undefined, with the reason.
        resamples: draws over the data seeds of this table.
        seed: of the splits that incremental R² is measured on.
    """
    given: list[dict[str, Any]] = [{"numeric": [ID_ACCURACY]}, {"numeric": [ID_ACCURACY], "categorical": SETTING}]
    scores = [[score], _scores_of_its_split(table, score)]
    return Estimands(
        granulated_kendall=granulated_kendall(table, score, outcome, resamples),
        sign_error=sign_error(table, score, outcome),
        conditional_mutual_information=conditional_mutual_information(table, score, outcome),
        partial=tuple(partial_rank_correlation(table, score, outcome, resamples, **controls) for controls in given),
        incremental=tuple(
            incremental_r2(table, added, outcome, numeric=[ID_ACCURACY], categorical=SETTING, seed=seed)
            for added in scores
            if added != [score] or added is scores[0]
        ),
        mixed_model=mixed_model(table, score, outcome),
        regret=tuple(selection_regret(table, score, outcome, resamples)),
        reliability=reliability(table, score, outcome, resamples),
    )


def _scores_of_its_split(table: pd.DataFrame, score: str) -> list[str]:
    split = score.partition(".")[0]
    parsed = {str(name): columns.parse_localisation(str(name)) for name in table.columns}
    return [name for name, parts in parsed.items() if parts is not None and parts[0] == split]
