"""Within/between mixed model: a trial's own map and its cell's maps as predictors of correct answers."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.answer.answer import Analysis
from analysis.answer.correlations import ID_AUC
from analysis.numbers import column_name, count, interval, number
from analysis.sections.section import OTHER_WAYS, Section, absent_column, left_out
from analysis.sections.table import Entry, Table, bounds, p_value, remark, value
from analysis.stats.rank_correlation import LEVEL, Floats
from analysis.trials.scores import proportion_of

RANDOM_DATASETS = 5
"""From so many datasets on, the dataset is a random effect; with fewer it is a fixed one."""
MINIMUM_GROUPS = 5
"""Fewest data seeds that a variance between them can be estimated from."""
MOST_TRIALS = 20_000
WITHIN, BETWEEN, IN_DISTRIBUTION = "mu_within", "mu_between", "a"


@dataclass(frozen=True)
class Coefficient:
    """One slope, in logits per unit of its predictor."""

    term: str
    estimate: float
    standard_error: float
    ci_low: float
    ci_high: float
    p_value: float


@dataclass(frozen=True)
class MixedModel:
    """The fit, with what was dropped and whether it converged; no coefficients, with a reason, without a fit."""

    score: str
    outcome: str
    """The column of the share of correct answers."""
    n: int
    n_missing: int
    n_groups: int
    """Data seeds."""
    coefficients: tuple[Coefficient, ...] = ()
    """mu_within, mu_between and a, as far as they are in the model."""
    dropped: dict[str, str] | None = None
    """Terms left out, with the reason."""
    variances: dict[str, float] | None = None
    """Of the random effects and the residual, in squared logits."""
    converged: bool | None = None
    warnings: tuple[str, ...] = ()
    """Warnings of the fit, in statsmodels' words."""
    reason: str | None = None

    def coefficient(self, term: str) -> Coefficient | None:
        return next((c for c in self.coefficients if c.term == term), None)


def mixed_model(table: pd.DataFrame, score: str, outcome: str) -> MixedModel:
    """Linear mixed model of the empirical logit of accuracy, fitted by REML with statsmodels' MixedLM.

    logit((c + .5) / (n − c + .5)) of c correct of n test images ~ mu_within + mu_between + a + severity * method +
    (1 | dataset) + (1 | dataset : data seed), with mu_between the mean score of the trial's (dataset, severity,
    method), mu_within the rest, and a the AUC on the ID test set (Mundlak, Econometrica 46, 1978, for the two parts;
    Cox & Snell, Analysis of Binary Data, 1989, for the logit). mu_within asks the report's question inside a cell;
    mu_between mixes in whatever distinguishes cells.

    severity * method is one indicator per pair that occurs. With fewer than 5 datasets the dataset is a fixed effect.
    With one dataset the indicators determine mu_between, which is then dropped; a term that does not vary, or that
    others determine, is dropped too, with the reason. Intervals are Wald's, by the normal law.

    Accuracy and n are those of `proportion_of`, never an AUC. Trials in which anything is missing are left out and
    counted. A fit that does not converge is returned as such.

    Returns:
        No coefficients, with the reason, where a column or n is missing, there are fewer than 5 data seeds or as many
        as trials, no degree of freedom is left, or more than 20,000 trials (the fit would take too long).
    """
    proportion = proportion_of(table, outcome)
    reason = proportion.reason
    if reason is None and not str(proportion.column).endswith(".accuracy"):
        reason = "the model needs the share of correct answers, and no trial has its column"
    reason = absent_column(table, [score]) or reason
    if reason is not None or proportion.column is None:
        return MixedModel(score, proportion.column or outcome, 0, len(table), 0, reason=reason)
    dropped: dict[str, str] = {}
    names = [proportion.column, score]
    if ID_AUC in table:
        names.append(ID_AUC)
    else:
        dropped[IN_DISTRIBUTION] = f"no trial has the column {ID_AUC!r}"
    values = table[names].to_numpy(dtype=np.float64)
    known = np.isfinite(values).all(axis=1) & np.isfinite(proportion.n)
    part, values, n = table[known], values[known], proportion.n[known]
    dataset = pd.factorize(part["dataset"], sort=True)[0]
    group = part.groupby(["dataset", "data_seed"], sort=True).ngroup().to_numpy()
    n_groups = len(np.unique(group))
    head = (score, proportion.column, len(part), len(table) - len(part), n_groups)
    if n_groups < MINIMUM_GROUPS:
        return MixedModel(*head, reason=f"{count(n_groups, 'data seed')}, fewer than {MINIMUM_GROUPS}")
    if n_groups == len(part):
        return MixedModel(*head, reason="each data seed has one trial: the variance between them cannot be estimated")
    if len(part) > MOST_TRIALS:
        return MixedModel(*head, reason=f"{len(part):,} trials, more than {MOST_TRIALS:,}: the fit would take too long")
    correct = np.clip(values[:, 0], 0, 1) * n
    response = np.log((correct + 0.5) / (n - correct + 0.5))
    n_datasets = len(np.unique(dataset))
    between = part.groupby(["dataset", "severity", "method"])[score].transform("mean").to_numpy(dtype=np.float64)
    cell = part.groupby(["severity", "method"], sort=True).ngroup().to_numpy()
    fixed = [np.eye(cell.max() + 1)[cell]]
    if 1 < n_datasets < RANDOM_DATASETS:
        fixed.append(np.eye(n_datasets)[dataset][:, 1:])
    terms = {WITHIN: values[:, 1] - between, BETWEEN: between}
    if ID_AUC in table:
        terms[IN_DISTRIBUTION] = values[:, 2]
    design, kept = _independent(np.concatenate(fixed, axis=1), terms, dropped)
    if np.ptp(response) == 0:
        return MixedModel(*head, dropped=dropped, reason="constant outcome")
    if len(part) <= design.shape[1] + 1:
        return MixedModel(*head, dropped=dropped, reason=f"{len(part)} trials leave no degree of freedom")
    return _fit(head, response, design, kept, dropped, dataset if n_datasets >= RANDOM_DATASETS else None, group)


def _independent(fixed: Floats, terms: dict[str, Floats], dropped: dict[str, str]) -> tuple[Floats, dict[str, int]]:
    """(design matrix without redundant columns, the column and scale of each term kept); fills `dropped`."""
    design, kept = np.empty((len(fixed), 0)), {}
    for column in fixed.T:
        if _adds(design, column):
            design = np.column_stack([design, column])
    for term, column in terms.items():
        if np.std(column) < 1e-12:
            dropped[term] = "it does not vary"
        elif not _adds(design, column - column.mean()):
            dropped[term] = "severity and method (and the dataset) determine it"
        else:
            kept[term] = design.shape[1]
            design = np.column_stack([design, column])
    return design, kept


def _adds(design: Floats, column: Floats) -> bool:
    """Whether a column is not a combination of the others, up to rounding."""
    if not design.shape[1]:
        return bool(np.any(column))
    rest = column - design @ np.linalg.lstsq(design, column, rcond=None)[0]
    return bool(rest @ rest > 1e-10 * (column @ column))


def _fit(
    head: tuple[str, str, int, int, int],
    response: Floats,
    design: Floats,
    kept: dict[str, int],
    dropped: dict[str, str],
    dataset: np.ndarray | None,
    group: np.ndarray,
) -> MixedModel:
    from statsmodels.regression.mixed_linear_model import MixedLM
    from statsmodels.tools.sm_exceptions import ConvergenceWarning

    # Predictors on one scale help the optimiser; the slopes are turned back.
    scale = np.ones(design.shape[1])
    for position in kept.values():
        scale[position] = design[:, position].std()
    centre = np.zeros(design.shape[1])
    for position in kept.values():
        centre[position] = design[:, position].mean()
    options = {}
    if dataset is not None:
        options = {"exog_vc": {"data_seed": _indicators_by(dataset, group)}}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = MixedLM(
                response, (design - centre) / scale, groups=group if dataset is None else dataset, **options
            )
            result = model.fit(reml=True)
            # Read in here: statsmodels computes these only now, and may complain of a singular Hessian.
            estimates, errors = np.asarray(result.fe_params), np.asarray(result.bse_fe)
            intervals = np.asarray(result.conf_int(alpha=1 - LEVEL))[: len(estimates)]
            p_values = np.asarray(result.pvalues)[: len(estimates)]
        except (np.linalg.LinAlgError, ValueError) as error:
            return MixedModel(*head, dropped=dropped, converged=False, reason=f"the fit failed: {error}")
    complaints = tuple(dict.fromkeys(str(w.message).splitlines()[0] for w in caught))
    diverged = any(issubclass(w.category, ConvergenceWarning) and "failed" in str(w.message) for w in caught)
    coefficients = tuple(
        Coefficient(
            term,
            float(estimates[i] / scale[i]),
            float(errors[i] / scale[i]),
            float(intervals[i, 0] / scale[i]),
            float(intervals[i, 1] / scale[i]),
            float(p_values[i]),
        )
        for term, i in kept.items()
    )
    own = float(np.asarray(result.cov_re)[0, 0]) if np.size(result.cov_re) else 0.0
    variances = {"data_seed": own} if dataset is None else {"dataset": own, "data_seed": float(result.vcomp[0])}
    return MixedModel(
        *head,
        coefficients=coefficients,
        dropped=dropped,
        variances=variances | {"residual": float(result.scale)},
        converged=bool(result.converged) and not diverged,
        warnings=complaints,
    )


def _indicators_by(dataset: np.ndarray, group: np.ndarray) -> dict[int, Floats]:
    """Per dataset, the indicators of its data seeds."""
    indicators = {}
    for name in np.unique(dataset):
        codes = np.unique(group[dataset == name], return_inverse=True)[1]
        indicators[name] = np.eye(codes.max() + 1)[codes]
    return indicators


def _sentence(analysis: Analysis, result: MixedModel) -> str:
    own, missing = result.coefficient(WITHIN), left_out(result.n, result.n_missing)
    if own is None:
        why = result.reason or (result.dropped or {}).get(WITHIN, "the term was dropped")
        return f"Not estimated: {why}.{missing}"
    odds, low, high = (math.exp(0.1 * slope) for slope in (own.estimate, own.ci_low, own.ci_high))
    text = (
        f"Among trials of one cell, a map score higher by 0.1 multiplies the odds of a correct answer under the shift "
        f"by {number(odds)} ({interval(low, high)})."
    )
    if not result.converged:
        text += " The fit did not converge: do not rely on it."
    if (result.variances or {}).get("data_seed") == 0:
        text += " Data seeds do not differ beyond what trials do."
    elif result.warnings:
        text += f" The fit warned: {result.warnings[0].rstrip('.')}."
    return text + missing


def _table(result: MixedModel) -> Table:
    terms = {
        WITHIN: "the trial’s own map score, against its cell’s mean",
        BETWEEN: "the mean map score of its cell",
        IN_DISTRIBUTION: "AUC on the ID test set",
    }
    rows: list[tuple[Entry, ...]] = [
        (
            (part.term, terms[part.term]),
            value(part.estimate),
            value(part.standard_error),
            bounds(part.ci_low, part.ci_high),
            p_value(part.p_value),
            remark(None),
        )
        for part in result.coefficients
    ]
    absent = dict.fromkeys(terms, result.reason) if result.reason else (result.dropped or {})
    rows += [
        ((term, terms[term]), value(None), value(None), bounds(None, None), p_value(None), remark(why))
        for term, why in absent.items()
        if term in terms and result.coefficient(term) is None
    ]
    return Table(
        name="mixed_model",
        title=TITLE,
        caption=(
            f"Slopes on the logit of {column_name(result.outcome)}, per unit of the predictor: linear mixed model with "
            "severity by method fixed and a random effect of the data seed."
        ),
        headings=("predictor", "slope", "standard error", "95 % interval", "p", "left out because"),
        rows=tuple(rows),
        text_columns=1,
        fields=("term", "slope", "standard_error", "interval", "p_value", "reason"),
        fold=0,
    )


TITLE = "Within and between cells, in one model"
SECTION = Section(
    key="mixed_model",
    title=TITLE,
    part=OTHER_WAYS,
    compute=lambda analysis: mixed_model(*analysis.data),
    sentence=_sentence,
    tables=lambda analysis, result: [_table(result)],
    reported=lambda analysis, result: (
        "a within/between linear mixed model of the logit of accuracy (Mundlak 1978)"
        if result.coefficients and result.converged
        else ""
    ),
    citations={
        "Mundlak 1978": "Y. Mundlak, On the pooling of time series and cross section data. Econometrica 46, 1978, "
        "69–85."
    },
)
