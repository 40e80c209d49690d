"""The correlation among single trainings at one learning rate, by scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.answer.answer import answer
from analysis.numbers import with_interval
from analysis.sections.single_trainings import SECTION, single_trainings
from analysis.trials.trials import UNKNOWN_DATA_SEEDS

X, Y, V = "test_id.iou.integrated_gradients", "test_ood.auc", "valid_id.auc"
SEEDS, RATES = 12, (0.001, 0.01)


@pytest.fixture(scope="module")
def table(make_table):
    """Of each learning rate the same design; the larger one moves map and outcome together, as do images."""
    rng = np.random.default_rng(5)
    sides = [make_table(rho=0.5, seeds=SEEDS, strengths=(1.0, 10.0), columns=(X,), rng=r) for r in (1, 2)]
    for rate, side in zip(RATES, sides, strict=True):
        side["hp.lr"] = rate
        side["trial_key"] += f"-{rate}"
        side[V] = 0.9 + 0.3 * (side[X] - 0.2) + rng.normal(0, 0.005, len(side))
        for column in (X, Y):
            side[column] += 20 * rate + 0.05 * side["data_seed"].map(dict(enumerate(rng.normal(size=SEEDS))))
    return pd.concat(sides, ignore_index=True).assign(**{"test_ood.iou.integrated_gradients": 0.5})


def freed(trials, names):
    """Values without the mean of their data seed in the rate's other configurations, which are centred."""
    rest = trials[names] - trials.groupby(["method", "strength", "hp.lr"])[names].transform("mean")
    of_seed = rest.groupby([trials["data_seed"], trials["hp.lr"]])
    return trials[names] - (of_seed.transform("sum") - rest) / (of_seed.transform("count") - 1)


def fisher(values, given):
    ranks = values.round(12).rank()
    if not given:
        return np.arctanh(stats.spearmanr(values[X], values[Y]).statistic), len(values) - 3
    rest = [ranks[n] - np.polyval(np.polyfit(ranks[V], ranks[n], 3), ranks[V]) for n in (X, Y)]
    return np.arctanh(stats.pearsonr(*rest).statistic), len(values) - 6


def by_hand(table, given=False, without=None):
    """Fisher's z and weights of the cells at each rate; `without` is a column and a value that are left out."""
    trials = table[table["severity"] == 1.0]
    values = freed(trials, [X, Y, V])
    if without:
        values = values[trials[without[0]] != without[1]]
    cells = values.groupby([trials["hp.lr"], trials["method"]])
    return pd.DataFrame({cell: fisher(own, given) for cell, own in cells}, index=["z", "weight"]).T


def mean(cells):
    return np.average(cells["z"], weights=cells["weight"])


def test_each_learning_rate_counts_by_itself(table):
    plain, given = single_trainings(answer(table, replicates=100))
    for result, control in ((plain, None), (given, V)):
        assert result.estimate == pytest.approx(np.tanh(mean(by_hand(table, control is not None))))
        assert (result.control, result.score, result.n_trials) == (control, X, 192)


def test_the_interval_leaves_out_each_data_seed_and_each_strength_of_a_method(table):
    result = single_trainings(answer(table, replicates=100))[0]
    each = [mean(by_hand(table, without=("data_seed", seed))) for seed in range(SEEDS)]
    # Eight cells of 24 trials have weight 21 each; without a data seed two trials of each are gone.
    by_seed = 19 / 21 * SEEDS * np.var(each)
    # Half the difference between the two strengths, averaged over the eight cells, once for each strength of a method.
    one, two = (by_hand(table, without=("strength", strength))["z"] for strength in (1.0, 10.0))
    moves = ((one - two) / 2 / 8).groupby(level=1).sum()
    by_strength = 2 * (moves**2).sum() / 2
    error = np.sqrt(by_seed + by_strength)
    df = error**4 / (by_seed**2 / (SEEDS - 1) + by_strength**2 / 4)
    z = mean(by_hand(table)) + np.array([-1, 1]) * stats.t.ppf(0.975, df) * error
    assert (result.ci_low, result.ci_high) == pytest.approx(tuple(np.tanh(z)))


def test_what_the_learning_rate_does_to_both_does_not_count(table):
    noise = np.random.default_rng(0).normal(0, 0.02, len(table))
    table = table.assign(**{X: table["hp.lr"] * 20 + noise})
    mixed = stats.spearmanr(*table.loc[table["severity"] == 1, [X, Y]].to_numpy().T).statistic
    found = single_trainings(answer(table, replicates=100))[0]
    assert mixed > 0.5
    assert found.ci_low < 0 < found.ci_high


def test_the_section_shows_them_beside_the_comparisons(table):
    result = answer(table, replicates=100)
    found = SECTION.compute(result)
    plain, given = map(with_interval, found)
    assert f"OOD test AUC of {plain} and {given} at equal ID validation AUC." in SECTION.sentence(result, found)
    first, single = SECTION.tables(result, found)[0].texts
    assert first[1] == "–", "the maps of OOD images are all alike"
    assert single[1] == f"{found[0].estimate:.2f}"


def test_without_maps_of_id_images_or_data_seeds_it_is_missing(table):
    lacking = {
        f"no trial has the column '{X}'": table.drop(columns=X),
        UNKNOWN_DATA_SEEDS: table.drop(columns="data_seed"),
        "no cell has trials to rank at one learning rate": table.assign(**{"hp.lr": np.arange(len(table))}),
    }
    for reason, other in lacking.items():
        assert {r.reason for r in single_trainings(answer(other, replicates=100))} == {reason}
    few = single_trainings(answer(table[table["data_seed"] < 5].reset_index(drop=True), replicates=100))[0]
    assert few.estimate is not None
    assert few.interval_reason == "fewer than 6 data seeds on a dataset"
