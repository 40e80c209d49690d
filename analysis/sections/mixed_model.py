"""Mixed model: a trial's map, against its cell's mean, as a predictor of correct answers given the ID score."""

import math
import warnings
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import special

from analysis.answer.answer import Analysis
from analysis.answer.correlations import ID_AUC
from analysis.numbers import column_name, count, number
from analysis.sections.id_slopes import basis, cells_with_slope, fixed_effects, why_left_out
from analysis.sections.section import OTHER_WAYS, Section, absent_column, known_rows, left_out
from analysis.sections.table import Entry, Table, bounds, p_value, remark, value
from analysis.stats.rank_correlation import LEVEL, Floats, Ints
from analysis.trials.scores import proportion_of
from analysis.trials.trials import UNKNOWN_DATA_SEEDS

MINIMUM_GROUPS = 5
"""Fewest data seeds that a variance between them can be estimated from."""
MOST_TRIALS = 20_000
WITHIN, BETWEEN, IN_DISTRIBUTION = "mu_within", "mu_between", "a"
IMAGES = "number of test images"


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
    n_cells: int = 0
    left_out: dict[str, int] | None = None
    """Cells without a shift or too small for a slope, counted by reason."""
    spread: float = 0.0
    """Widest range of the score within a cell."""
    coefficients: tuple[Coefficient, ...] = ()
    """mu_within, if it is in the model."""
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
    """Linear mixed model of the empirical logit of accuracy, with cluster-robust errors.

    logit((c + .5) / (n − c + .5)) of c correct of n test images ~ mu_within + cell + a : cell + (1 | dataset : data
    seed), with mu_within the score less its cell's mean and a the AUC on the ID test set, which has a slope of its own
    in each cell (Mundlak, Econometrica 46, 1978, for the separation of cells; Cox & Snell, Analysis of Binary Data,
    1989, for the logit). mu_within asks the report's question inside a cell. The constants of the cells determine
    mu_between, the cell's mean score; it is named as dropped.

    The variances are those of the fit by REML with statsmodels' MixedLM. Errors do not rest on them: they are
    cluster-robust by data seed (Liang & Zeger, Biometrika 73, 1986, with the usual factor G / (G − 1) (n − 1) /
    (n − p)), and intervals are Student's on data seeds − datasets degrees of freedom.

    Accuracy and n are those of `proportion_of`, never an AUC. Trials in which anything is missing are left out and
    counted; so are cells of strata without a shift and, where the ID score is recorded, cells too small for a slope.
    A fit that does not converge is returned as such.

    Returns:
        No coefficients, with the reason, where a column or n is missing, no cell is left, or there are fewer than 5
        data seeds or as many as trials, or more than 20,000 trials (the fit would take too long).
    """
    proportion = proportion_of(table, outcome)
    reason = proportion.reason
    if reason is None and not str(proportion.column).endswith(".accuracy"):
        reason = "the model needs the share of correct answers, and no trial has its column"
    reason = absent_column(table, [score]) or reason
    result = MixedModel(score, proportion.column or outcome, 0, len(table), 0)
    if reason is not None or proportion.column is None:
        return replace(result, reason=reason)
    dropped = {BETWEEN: "the cells determine it"}
    names = [proportion.column, score]
    if ID_AUC in table:
        names.append(ID_AUC)
    else:
        dropped[IN_DISTRIBUTION] = f"no trial has the column {ID_AUC!r}"
    known, values = known_rows(table[names].assign(**{IMAGES: proportion.n}), [*names, IMAGES])
    cells, left_out = cells_with_slope(table, known)
    result = replace(result, n_missing=len(table) - len(known), dropped=dropped, left_out=left_out)
    if not cells:
        return replace(result, reason=f"no cell can be used ({why_left_out(left_out)})")
    spread = max(float(np.ptp(values[own, 1])) for own in cells.values())
    members = np.concatenate(list(cells.values()))
    part, values, n = table.iloc[known[members]], values[members], values[members, -1]
    group = part.groupby(["dataset", "data_seed"], sort=True).ngroup().to_numpy()
    n_groups = len(np.unique(group))
    result = replace(result, n=len(part), n_groups=n_groups, n_cells=len(cells), spread=spread)
    correct = np.clip(values[:, 0], 0, 1) * n
    response = np.log((correct + 0.5) / (n - correct + 0.5))
    design = np.column_stack([values[:, 1], fixed_effects(cells, values[:, 2] if ID_AUC in table else None)])
    reason = _why_not(response, group)
    if reason is not None:
        return replace(result, reason=reason)
    rest = design[:, 0] - design[:, 1:] @ np.linalg.lstsq(design[:, 1:], design[:, 0], rcond=None)[0]
    if spread == 0 or rest @ rest <= 1e-10 * (len(rest) * np.var(design[:, 0])):
        varies = f"the cells{' and the AUC on the ID test set' if ID_AUC in table else ''} determine it"
        return replace(result, dropped=dropped | {WITHIN: varies})
    return _fit(result, response, design, group, n_groups - part["dataset"].nunique())


def _why_not(response: Floats, group: Ints) -> str | None:
    n_groups = len(np.unique(group))
    if n_groups < MINIMUM_GROUPS:
        return f"{count(n_groups, 'data seed')}, fewer than {MINIMUM_GROUPS}"
    if n_groups == len(group):
        return "each data seed has one trial: the variance between them cannot be estimated"
    if len(group) > MOST_TRIALS:
        return f"{len(group):,} trials, more than {MOST_TRIALS:,}: the fit would take too long"
    return "constant outcome" if np.ptp(response) == 0 else None


def _fit(result: MixedModel, response: Floats, design: Floats, group: Ints, df: int) -> MixedModel:
    from statsmodels.regression.linear_model import OLS
    from statsmodels.regression.mixed_linear_model import MixedLM
    from statsmodels.tools.sm_exceptions import ConvergenceWarning

    # The score on the scale of its spread helps the optimiser; the slope is turned back.
    scale = float(design[:, 0].std())
    design = np.column_stack([(design[:, 0] - design[:, 0].mean()) / scale, design[:, 1:]])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fit = MixedLM(response, design, groups=group).fit(reml=True)
        except (np.linalg.LinAlgError, ValueError) as error:
            return replace(result, converged=False, reason=f"the fit failed: {error}")
    complaints = tuple(dict.fromkeys(str(w.message).splitlines()[0] for w in caught))
    diverged = any(issubclass(w.category, ConvergenceWarning) and "failed" in str(w.message) for w in caught)
    variances = {"data_seed": float(np.asarray(fit.cov_re)[0, 0]), "residual": float(fit.scale)}
    # Whitened by the variances, generalised least squares is least squares (Fuller & Battese, J. Econometrics 2, 1974).
    size = np.bincount(group)
    share = 1 - np.sqrt(variances["residual"] / (variances["residual"] + size * variances["data_seed"]))
    whitened = [column - (share * np.bincount(group, column) / size)[group] for column in (response, *design.T)]
    robust = OLS(whitened[0], np.column_stack(whitened[1:])).fit(cov_type="cluster", cov_kwds={"groups": group})
    slope, standard_error = float(robust.params[0]) / scale, float(robust.bse[0]) / scale
    reach = float(special.stdtrit(df, 0.5 + LEVEL / 2)) * standard_error
    p_value = float(2 * special.stdtr(df, -abs(slope) / standard_error)) if standard_error > 0 else math.nan
    return replace(
        result,
        coefficients=(Coefficient(WITHIN, slope, standard_error, slope - reach, slope + reach, p_value),),
        variances=variances,
        converged=bool(fit.converged) and not diverged,
        warnings=complaints,
    )


def _compute(analysis: Analysis) -> MixedModel:
    if analysis.trials.data_seeds_known:
        return mixed_model(*analysis.data)
    table, score, outcome = analysis.data
    return MixedModel(score, outcome, 0, len(table), 0, reason=UNKNOWN_DATA_SEEDS)


def _sentence(analysis: Analysis, result: MixedModel) -> str:
    own, missing = result.coefficient(WITHIN), left_out(result.n, result.n_missing)
    if own is None:
        why = result.reason or (result.dropped or {}).get(WITHIN, "the term was dropped")
        return f"Not estimated: {why}.{missing}"
    step = min(0.1, 10.0 ** math.floor(math.log10(result.spread)))
    odds, low, high = (_odds(step * slope) for slope in (own.estimate, own.ci_low, own.ci_high))
    text = (
        f"Among trials of one cell and one ID test AUC, a map score higher by {step:g} multiplies the odds of a "
        f"correct answer under the shift by {odds} ({low} to {high})."
    )
    if not result.converged:
        text += " The fit did not converge: do not rely on it."
    if (result.variances or {}).get("data_seed") == 0:
        text += " Data seeds do not differ beyond what trials do."
    elif result.warnings:
        text += f" The fit warned: {result.warnings[0].rstrip('.')}."
    return text + missing


def _odds(logit: float) -> str:
    """A factor of the odds; beyond 1,000 its size says nothing."""
    return number(math.exp(logit)) if logit < math.log(1000) else "over 1,000"


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
            "a constant and a slope of the ID test AUC for each cell and a random effect of the data seed; errors are "
            "cluster-robust by data seed."
            + (f" {basis(result.n, result.n_cells, result.n_groups, result.left_out)}." if result.coefficients else "")
        ),
        headings=("predictor", "slope", "standard error", "95 % interval", "p", "left out because"),
        rows=tuple(rows),
        text_columns=1,
        fields=("term", "slope", "standard_error", "interval", "p_value", "reason"),
        fold=0,
    )


TITLE = "All cells in one model"
SECTION = Section(
    key="mixed_model",
    title=TITLE,
    part=OTHER_WAYS,
    compute=_compute,
    sentence=_sentence,
    tables=lambda analysis, result: [_table(result)],
    reported=lambda analysis, result: (
        "a linear mixed model of the logit of accuracy with a constant and an ID slope per cell (Mundlak 1978) and "
        "cluster-robust errors (Liang & Zeger 1986)"
        if result.coefficients and result.converged
        else ""
    ),
    citations={
        "Liang & Zeger 1986": "K.-Y. Liang, S. L. Zeger, Longitudinal data analysis using generalized linear models. "
        "Biometrika 73, 1986, 13–22.",
        "Mundlak 1978": "Y. Mundlak, On the pooling of time series and cross section data. Econometrica 46, 1978, "
        "69–85.",
    },
)
