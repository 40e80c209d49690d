"""The numbers of the studies in docs/results, recomputed from trials.parquet.

`analysis` is not imported: the definitions of docs/answer.md are computed a second time, with pandas and scipy.
"""

import json
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from support.commands import ROOT

RESULTS = ROOT / "docs" / "results"
CELL = ["dataset", "severity", "method"]
EXACT = {"rel": 1e-9, "abs": 1e-12}
REPETITIONS, SPLITS = 30, 100
"""A report averages over 100 random halves of the data seeds, as does each of 30 repetitions here. Their standard
deviation is the uncertainty of the draw."""
SPREADS = 4
"""Largest distance of a report from the mean of the repetitions, in standard deviations."""
GRID = 1e-3
"""The analysis inverts Moran's formula to this precision."""


@cache
def report(study: str) -> dict:
    return json.loads((RESULTS / study / "report.json").read_text())


def reported_comparison(study: str, name: str) -> dict:
    (entry,) = (one for one in report(study)["comparisons"] if one["comparison"] == name)
    return entry


@cache
def trials_of(study: str) -> pd.DataFrame:
    """The completed trials, with x, the primary's score, y, its outcome, and the number of the configuration: all
    settings but the seeds.
    """
    primary = report(study)["primary"]
    trials = pd.read_parquet(RESULTS / study / "trials.parquet").query("status == 'completed'")
    settings = [*CELL, "strength", "model", "preset", "selection", "epochs"]
    settings += [name for name in trials if name.startswith("hp.") and name != "hp.searcher"]
    return trials.assign(
        x=trials[f"{primary['split']}.{primary['metric']}.{primary['attribution']}"],
        y=trials[primary["outcome"]],
        configuration=trials.groupby(settings, dropna=False).ngroup(),
    )


STUDIES = sorted(path.parent.name for path in RESULTS.glob("*/report.json") if "comparisons" in path.read_text())


def cases(*names: str) -> list[tuple[str, str]]:
    """Each study with each of these comparisons that it declares."""
    return [(s, one["comparison"]) for s in STUDIES for one in report(s)["comparisons"] if one["comparison"] in names]


# Among trials: seeds, and models of equal validation AUC


def without_images(trials: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """The trials, from whose values the mean of their images in the stratum's other configurations is subtracted."""
    trials = trials.reset_index(drop=True)
    freed = trials[names].astype(float).copy()
    for _, own in trials.groupby(["dataset", "severity"]):
        middle = own[names] - own.groupby("configuration")[names].transform("mean")
        for _, same in own.groupby("data_seed"):
            for configuration, mine in same.groupby("configuration"):
                others = same.index[same["configuration"] != configuration]
                freed.loc[mine.index] -= middle.loc[others].mean()
    return trials.assign(**{f"{name} freed": freed[name] for name in names})


def of_trials(trials: pd.DataFrame, group: list[str], control: str | None) -> pd.DataFrame:
    """A row per group of trials: Fisher's z of its rank correlation, its weight, and the sums of its slope of y on x.

    Given a control, both ranks and both values are replaced by their residuals from least squares on a cubic of the
    control's ranks, or a straight line below 20 trials.
    """
    names = ["x", "y", *([control] if control else [])]
    rows = []
    freed = without_images(trials.dropna(subset=names), names).dropna(subset=[f"{name} freed" for name in names])
    for _, own in freed.groupby(group):
        degree = 0 if control is None else 3 if len(own) >= 20 else 1
        lost = 3 + degree
        if len(own) <= lost or own["y"].std() < 0.01 or own["x"].nunique() == 1:
            continue
        x, y = own["x freed"].to_numpy(), own["y freed"].to_numpy()
        ranks = [stats.rankdata(values.round(12)) for values in (x, y)]
        by = None if control is None else stats.rankdata(own[f"{control} freed"].round(12))
        ranks, (x, y) = ([residual(values, by, degree) for values in pair] for pair in (ranks, (x, y)))
        if min(rank @ rank for rank in ranks) < 1e-9:
            continue
        rho = stats.pearsonr(*ranks).statistic
        z = np.arctanh(np.clip(rho, -0.999, 0.999))
        row = {"z": z, "weight": len(own) - lost, "xy": x @ y, "xx": x @ x, "n": len(own)}
        rows.append({**own.iloc[0][CELL], **row})
    return pd.DataFrame(rows, columns=[*CELL, "z", "weight", "xy", "xx", "n"])


def residual(values: np.ndarray, control: np.ndarray | None, degree: int) -> np.ndarray:
    if control is None:
        return values - values.mean()
    design = np.vander((control - control.mean()) / len(control), degree + 1)
    return values - design @ np.linalg.lstsq(design, values)[0]


def combined(rows: pd.DataFrame) -> float:
    return float(np.tanh(np.average(rows["z"], weights=rows["weight"])))


@pytest.mark.parametrize(("study", "comparison"), cases("seed", "given_id"))
def test_correlation_among_trials(study, comparison):
    reported = reported_comparison(study, comparison)
    group = ["configuration"] if comparison == "seed" else CELL
    rows = of_trials(trials_of(study), group, reported["control"])
    shifted = rows[rows["severity"] > 0]
    assert reported["n_trials"] == shifted["n"].sum()
    assert reported["n_cells"] == shifted.groupby(CELL).ngroups
    if shifted.empty:
        assert reported["estimate"] is None
        return
    assert reported["estimate"] == pytest.approx(combined(shifted), **EXACT)
    assert reported["auc_per_tenth"] == pytest.approx(shifted["xy"].sum() / shifted["xx"].sum() / 10, **EXACT)
    levels = {(one["dataset"], one["severity"]): one["estimate"] for one in reported["strata"]}
    by_stratum = {place: combined(own) for place, own in rows.groupby(["dataset", "severity"])}
    assert levels == pytest.approx(by_stratum, **EXACT)
    levels = {one["method"]: one["estimate"] for one in reported["methods"]}
    assert levels == pytest.approx({method: combined(own) for method, own in shifted.groupby("method")}, **EXACT)


# Among averages over data seeds: settings and methods


@cache
def first_halves(data_seeds: int) -> np.ndarray:
    """[repetitions, splits, data seeds] whether a data seed is in the first half."""
    draws = np.random.default_rng(data_seeds).random((REPETITIONS, SPLITS, data_seeds))
    return draws.argsort(axis=2) < data_seeds // 2


def averages(means: pd.DataFrame, members: np.ndarray) -> np.ndarray:
    """[repetitions, splits, units] averages of the units over the members, less what all units share."""
    centred = (means - means.mean()).to_numpy()
    present = np.isfinite(centred)
    size = members @ present.T.astype(float)
    return members @ np.where(present, centred, 0.0).T / np.maximum(size, 1)


def covariance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[repetitions] covariance over the units, averaged over the splits."""
    a, b = (values - values.mean(axis=2, keepdims=True) for values in (a, b))
    return ((a * b).sum(axis=2) / (a.shape[2] - 1)).mean(axis=1)


def spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[repetitions] rank correlation over the units, averaged over the splits; NaN where all units of a half tie."""
    a, b = (stats.rankdata(values, axis=2) - (values.shape[2] + 1) / 2 for values in (a, b))
    with np.errstate(invalid="ignore"):
        return ((a * b).sum(axis=2) / np.sqrt((a**2).sum(axis=2) * (b**2).sum(axis=2))).mean(axis=1)


def normal_correlation(rho: np.ndarray, n: int) -> np.ndarray:
    """Pearson's r of normal pairs by the expected rho of n of them (Moran, Biometrika 35, 1948)."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 20_001)
    expected = 6 / (np.pi * (n + 1)) * (angle + (n - 2) * np.arcsin(np.sin(angle) / 2))
    return np.sin(np.interp(rho, expected, angle))


def of_averages(trials: pd.DataFrame, unit: str) -> dict[str, np.ndarray] | None:
    """[repetitions] the weight of a cell or stratum, 0 if it is left out, its weighted rank correlation of averages,
    and the terms of its slope; None if it has too few units.
    """
    trials = trials.dropna(subset=["x", "y"])
    x, y = (trials.pivot_table(values=v, index=unit, columns="data_seed", aggfunc="mean") for v in ("x", "y"))
    n = len(x)
    x, y = (means[means.notna().sum(axis=1) >= 2] for means in (x, y))
    if n < 4 or len(x) < 3:
        return None
    first = first_halves(x.shape[1])
    (x1, x2), (y1, y2) = ([averages(means, half) for half in (first, ~first)] for means in (x, y))
    reliability = np.array([spearman(x1, x2), spearman(y1, y2)])
    counts = (reliability >= 0.5).all(axis=0) & (covariance(y1, y2) >= 0.01**2)
    agreement = np.where(counts, normal_correlation(reliability, len(x)), 1.0)
    rho = np.where(counts, (spearman(x1, y2) + spearman(x2, y1)) / 2, 0.0) / np.sqrt(agreement.prod(axis=0))
    return {
        "weight": counts * (n - 1),
        "value": counts * (n - 1) * np.clip(rho, -1, 1),
        "xy": counts * (covariance(x1, y2) + covariance(x2, y1)) / 2,
        "xx": counts * covariance(x1, x2),
    }


@pytest.mark.parametrize(("study", "comparison"), cases("setting", "method"))
def test_correlation_among_averages(study, comparison):
    reported, trials = reported_comparison(study, comparison), trials_of(study)
    by, unit = (CELL, "configuration") if comparison == "setting" else (CELL[:2], "method")
    parts = [of_averages(own, unit) for _, own in trials[trials["severity"] > 0].groupby(by)]
    parts = [part for part in parts if part is not None]
    n_cells = sum((part["weight"] > 0 for part in parts), np.zeros(REPETITIONS, dtype=int))
    # If halves hardly agree about a cell, whether it counts depends on the draw.
    alike = n_cells == reported["n_cells"]
    assert alike.sum() > 1
    if not reported["n_cells"]:
        assert reported["estimate"] is None
        return
    weight, value, xy, xx = (sum(part[name][alike] for part in parts) for name in ("weight", "value", "xy", "xx"))
    rho, slope = value / weight, xy / xx / 10
    tolerance = SPREADS * rho.std(ddof=1) + GRID
    assert tolerance < 0.05, "too wide a tolerance"
    assert reported["estimate"] == pytest.approx(rho.mean(), abs=tolerance, rel=0)
    assert reported["auc_per_tenth"] == pytest.approx(slope.mean(), abs=SPREADS * slope.std(ddof=1) + 1e-9, rel=0)


# Costs of choices

PROBES = ("outside_zeroed", "outside_shuffled", "outside_swapped")


def lost(own: pd.DataFrame, criterion: pd.Series) -> float:
    """The best outcome less the mean outcome of the trials tied at the top of the criterion."""
    return own["y"].max() - own.loc[criterion >= criterion.max() - 1e-12, "y"].mean()


def costs(own: pd.DataFrame) -> dict[str, float]:
    """The loss of each rule among these trials."""
    both = own[["id_valid", "map_id"]]
    spread = both.std(ddof=0)
    rules = {
        "localisation_id": own["map_id"],
        "id_valid": own["id_valid"],
        "id_valid_and_localisation_id": ((both - both.mean()) / spread.where(spread > 1e-12, np.inf)).sum(axis=1),
        **{probe: own[probe] for probe in PROBES if probe in own},
        **({"masked": own["masked"]} if own["masked"].any() else {}),
        "random": own["y"] * 0,
        "localisation_ood": own["map_ood"],
        "ood_valid": own["ood_valid"],
        "oracle": own["y"],
    }
    return {rule: lost(own, criterion) for rule, criterion in rules.items()}


@pytest.mark.parametrize("study", STUDIES)
def test_costs_of_choices(study):
    """Over the data seeds of a stratum, then over the strata with a shift."""
    assert report(study)["n_trials"] == len(trials_of(study))
    primary = report(study)["primary"]
    measure = primary["outcome"].rpartition(".")[2]
    names = {f"test_{one}.{primary['metric']}.{primary['attribution']}": f"map_{one}" for one in ("id", "ood")}
    names |= {f"valid_id.{measure}": "id_valid", f"valid_ood.{measure}": "ood_valid"}
    names |= {f"test_id.auc_{probe}": probe for probe in PROBES}
    trials = trials_of(study).rename(columns=names).dropna(axis="columns", how="all")
    trials = trials.dropna(subset=["x", "y", *(name for name in names.values() if name in trials)])
    trials["masked"] = trials["method"].eq("masked").astype(float)
    stratum = ["dataset", "severity"]
    choices = {place: costs(own) for place, own in trials.groupby([*stratum, "data_seed"]) if len(own) > 1}
    by_stratum = pd.DataFrame(choices).T.groupby(level=[0, 1]).mean()
    shifted = by_stratum[by_stratum.index.get_level_values(1) > 0]
    recomputed = {(rule, None, None): cost for rule, cost in shifted.mean().items()}
    by_dataset = shifted.groupby(level=0).mean()
    if len(by_dataset) > 1:
        recomputed |= {(rule, d, None): cost for d, row in by_dataset.iterrows() for rule, cost in row.items()}
    recomputed |= {(rule, *place): cost for place, row in by_stratum.iterrows() for rule, cost in row.items()}
    reported = {(one["rule"], one["dataset"], one["severity"]): one["estimate"] for one in report(study)["regret"]}
    assert {key: cost for key, cost in reported.items() if cost is not None} == pytest.approx(
        {key: cost for key, cost in recomputed.items() if np.isfinite(cost)}, **EXACT
    )
    # The difference from the map, by data seed: a t test where strata are paired over the data seeds of one dataset.
    by_seed = pd.DataFrame(choices).T.astype(float)
    saved = by_seed.rsub(by_seed["localisation_id"], axis=0)
    saved = saved[saved.index.get_level_values(1) > 0]
    if saved.index.get_level_values(0).nunique() == 1:
        means = saved.groupby(level=2).mean()
        for one in report(study)["regret"]:
            if one["dataset"] is None and one["saved"] is not None:
                test = stats.ttest_1samp(means[one["rule"]], 0.0)
                bounds = test.confidence_interval()
                found = one["saved"], one["saved_low"], one["saved_high"], one["saved_p"]
                assert found == pytest.approx((means[one["rule"]].mean(), bounds.low, bounds.high, test.pvalue), 1e-6)
