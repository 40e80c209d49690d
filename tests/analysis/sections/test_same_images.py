"""Pairs of trials of one configuration: against a plain double loop, closed forms and Student's interval."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from analysis.answer.answer import answer
from analysis.sections.same_images import SECTION, same_images
from analysis.stats import cluster_bootstrap
from analysis.trials.exclusions import trials_from_table
from analysis.trials.trials import UNKNOWN_DATA_SEEDS

SCORE, OUTCOME, VALIDATION = "test_ood.iou.integrated_gradients", "test_ood.auc", "valid_id.auc"


@pytest.fixture(scope="module")
def analysed(make_table):
    """An analysis of a table without the answer to it, which takes longer than the section."""
    base = answer(make_table(seeds=2, methods=("rrr",)), replicates=100)

    def make(table):
        trials = trials_from_table(table, sweep="table", source="a data frame")
        resamples = cluster_bootstrap.draw_resamples(trials.table, replicates=100, seed=0)
        return replace(base, trials=trials, resamples=resamples)

    return make


@pytest.fixture(scope="module")
def entries(analysed):
    """The section's entries by what they are about."""
    return lambda table: {
        (e.images, e.apart, e.score, e.dataset, e.severity, e.method): e for e in same_images(analysed(table))
    }


@pytest.fixture(scope="module")
def whole(entries):
    """The entry of all methods and strata."""
    return lambda table, images="same": entries(table)[images, 0.0, SCORE, None, None, None]


@pytest.fixture(scope="module")
def crossed(make_table):
    """A table in which each data seed has several training seeds."""

    def make(data_seeds=8, training_seeds=2, **others):
        table = make_table(seeds=data_seeds * training_seeds, **others)
        table["data_seed"], table["seed"] = table["seed"] % data_seeds, table["seed"] // data_seeds
        table[VALIDATION] = np.random.default_rng(7).normal(0.9, 0.01, len(table))
        return table

    return make


def by_double_loop(table, score, images, apart):
    """(pairs, concordant pairs with ties as halves)."""
    pairs, concordant = 0, 0.0
    for _, group in table[table["severity"] > 0].groupby(["dataset", "severity", "method", "strength"]):
        for one, two in combinations(group.to_dict("records"), 2):
            x, y = one[score] - two[score], one[OUTCOME] - two[OUTCOME]
            is_same = one["data_seed"] == two["data_seed"]
            if np.isnan(x) or np.isnan(y) or is_same != (images == "same") or round(abs(y), 9) < apart:
                continue
            pairs += 1
            concordant += 0.5 if x * y == 0 else float(x * y > 0)
    return pairs, concordant


def students_interval(table, cluster, score, images, apart):
    """Each cluster's rows left out in turn, dataset by dataset."""
    shares: dict[str, list[float]] = {}
    for one in np.unique(cluster):
        pairs, concordant = by_double_loop(table[cluster != one], score, images, apart)
        shares.setdefault(table["dataset"][cluster == one].iloc[0], []).append(concordant / pairs)
    variances = np.asarray([(len(s) - 1) ** 2 / len(s) * np.var(s, ddof=1) for s in shares.values()])
    df = variances.sum() ** 2 / sum(v**2 / (len(s) - 1) for v, s in zip(variances, shares.values(), strict=True))
    return stats.t.ppf(0.975, df) * np.sqrt(variances.sum())


def test_shares_and_intervals_equal_those_of_a_double_loop(crossed, entries):
    """With ties, missing values, data seeds with other numbers of trials, and one outcome on a grid of 0.01."""
    table = crossed(7, 3, datasets=("a", "b"), severities=(0.0, 0.8, 1.0), methods=("masked", "rrr"), rho=0.4)
    table[SCORE], table[OUTCOME] = table[SCORE].round(2), table[OUTCOME].round(2)
    table.loc[5::17, SCORE] = np.nan
    table.loc[3::23, OUTCOME] = np.nan
    table.loc[1::29, VALIDATION] = np.nan
    table = table.drop(index=table.index[2::13]).reset_index(drop=True)
    cluster = (table["dataset"] + table["data_seed"].astype(str)).to_numpy()
    result = entries(table)
    assert len({key[3:] for key in result if key[0] == "same"}) == 1 + 2 + 4
    for (images, apart, score, *place), entry in result.items():
        trials = table
        for column, level in zip(("dataset", "severity", "method"), place, strict=True):
            trials = trials if level is None else trials[trials[column] == level]
        pairs, concordant = by_double_loop(trials, score, images, apart)
        assert (entry.n, entry.estimate) == (pairs, pytest.approx(concordant / pairs))
        if place == [None, None, None]:
            assert entry.n_clusters == 14
            reach = students_interval(table, cluster, score, images, apart)
            assert (entry.ci_low, entry.ci_high) == pytest.approx((entry.estimate - reach, entry.estimate + reach))


def test_groups_of_data_seeds_are_left_out_whole(crossed, monkeypatch, whole):
    monkeypatch.setattr(cluster_bootstrap, "MAXIMUM_CLUSTERS", 6)
    table = crossed(12, 2, severities=(1.0,), strengths=(1.0, 2.0), rho=0.2)
    for images in ("same", "other"):
        entry = whole(table, images)
        assert entry.n_clusters == 6
        reach = students_interval(table, (table["data_seed"] // 2).to_numpy(), SCORE, images, 0.0)
        assert entry.ci_high - entry.ci_low == pytest.approx(2 * reach)


def test_normal_scores_have_the_share_of_their_correlation(crossed, whole):
    """P(concordant) = 1/2 + arcsin(r) / pi, with r the correlation of the differences (Kruskal 1958)."""
    table = crossed(60, 4, severities=(1.0,), strengths=(1.0, 2.0), rho=0.8)
    # Images that make maps better and outcomes worse: variance 1 beside the 1 of the training, covariance −1.
    drawn = 0.02 * np.random.default_rng(3).normal(size=(2, 4, 60))
    strength, method = table["strength"].astype(int) - 1, table["method"].factorize()[0]
    table[SCORE] += drawn[strength, method, table["data_seed"]]
    table[OUTCOME] -= drawn[strength, method, table["data_seed"]]
    same, other = whole(table), whole(table, "other")
    assert same.estimate == pytest.approx(0.5 + np.arcsin(0.8) / np.pi, abs=0.02)
    assert other.estimate == pytest.approx(0.5 + np.arcsin((0.8 - 1) / 2) / np.pi, abs=0.03)
    assert (same.n, other.n) == (8 * 60 * 6, 8 * (60 * 59 // 2) * 16)
    assert same.ci_low < 0.5 + np.arcsin(0.8) / np.pi < same.ci_high


def test_other_images_give_kendalls_tau(crossed, whole):
    table = crossed(20, 1, severities=(1.0,), methods=("masked",))
    table = table.loc[table.index.repeat(2)].reset_index(drop=True)
    table.loc[1::2, ["trial_key", "seed"]] = [[f"again-{i}", 1] for i in range(20)]
    first = table[0::2]
    # Each of the 190 pairs of data seeds has four pairs of trials with the same order; the copies tie.
    tau = stats.kendalltau(first[SCORE], first[OUTCOME]).statistic
    assert 2 * whole(table, "other").estimate - 1 == pytest.approx(tau)
    assert whole(table).estimate == 0.5


def pairs_of_two(crossed, outcomes, scores):
    """One method; the two trainings of each data seed have these outcomes and scores."""
    table = crossed(len(outcomes), 2, severities=(1.0,), methods=("masked",)).sort_values(["data_seed", "seed"])
    table[OUTCOME], table[SCORE] = np.ravel(outcomes), np.ravel(scores)
    return table.reset_index(drop=True)


def test_a_constant_share_has_no_interval(crossed, whole):
    entry = whole(pairs_of_two(crossed, [(0.7, 0.6)] * 6, [(0.3, 0.2)] * 6))
    assert (entry.estimate, entry.ci_low) == (1.0, None)
    assert entry.interval_reason == "the share is the same without any one of the data seeds"


@pytest.mark.parametrize(
    ("concordant", "claim"),
    [(11, "is the better one"), (1, "is the worse one"), (7, "is not seen to be the better one")],
)
def test_the_sentence_claims_no_more_than_the_interval(crossed, analysed, concordant, claim):
    scores = [(0.3, 0.2)] * concordant + [(0.2, 0.3)] * (12 - concordant)
    answered = analysed(pairs_of_two(crossed, [(0.7, 0.6)] * 12, scores).drop(columns=VALIDATION))
    words = SECTION.sentence(answered, same_images(answered))
    assert claim in words
    assert f"{100 * concordant / 12:.1f}\u00a0% (" in words


def test_without_known_pairs_on_the_same_images_the_entry_has_the_reason(make_table, analysed):
    single = make_table(seeds=8)
    reasons = {
        "no two scored trials under a shift have the same configuration and data seed": single,
        UNKNOWN_DATA_SEEDS: single.drop(columns="data_seed"),
    }
    for reason, table in reasons.items():
        answered = analysed(table)
        (entry,) = result = same_images(answered)
        assert entry.reason == reason
        assert SECTION.figures(answered, result) == [None]
