"""Sign errors, against closed forms and mbe-eval."""

import itertools
import math

import mbe_eval.robust_sign_error
import numpy as np
import pandas as pd
import pytest

from analysis.sections.sign_error import FEW_PAIRS, SMALL, pair_weights, sign_error

SCORE, AUC, ACCURACY = "test_ood.iou.integrated_gradients", "test_ood.auc", "test_ood.accuracy"


def trials(rng=0, *, lrs=(1, 2, 3), severities=(0.0, 1.0), seeds=(4, 5, 6), n=2000, rho=0.3, digits=3):
    """Uneven numbers of seeds; rounded scores, so that some are tied."""
    generator = np.random.default_rng(rng)
    found = []
    for (lr, s), k in zip(itertools.product(lrs, severities), itertools.cycle(seeds), strict=False):
        for seed in range(k):
            shared, own = generator.normal(size=2)
            found.append(
                {"dataset": "d", "severity": s, "method": "rrr", "hp.lr": lr, "seed": seed, "data_seed": seed}
                | {SCORE: round(0.3 + 0.1 * shared, 1), "test_ood.n": n}
                | {ACCURACY: round(0.5 + 0.05 * (rho * shared + own) - 0.05 * s, digits), AUC: 0.5}
            )
    return pd.DataFrame(found).sample(frac=1, random_state=rng, ignore_index=True)


@pytest.mark.parametrize(("n", "least"), [(128, 0.1733), (2000, 0.0438), (10_000, 0.0196)])
def test_a_pair_counts_from_the_difference_that_n_images_can_see(n, least):
    assert least == pytest.approx(math.sqrt(2 * math.log(2 / (1 - math.sqrt(0.5))) / n), abs=1e-4)
    below, above, most = pair_weights(np.array([least - 1e-3, least + 1e-3, 10.0]), np.full(3, n))
    assert below == 0 < above < most == 0.5


def test_against_mbe_eval():
    table = trials()
    table["config_id"] = table.groupby(["severity", "hp.lr"]).ngroup().astype(str)
    environments = mbe_eval.robust_sign_error.robust_sign_error_environments(
        table, [SCORE], ["severity", "hp.lr"], target=ACCURACY, test_size=2000
    )
    # Theirs has both directions of each pair of configurations, and those of any effective number of pairs.
    kept = environments[environments["effective_sample_size"] >= 12]
    result = sign_error(table, SCORE, AUC)
    assert 0 < result.overall.n_kept < result.overall.n_environments == 9
    for part in (result.overall, *result.axes):
        errors = kept.loc[kept["hyperparameter"].eq(part.axis) | (part.axis is None), SCORE]
        assert 2 * part.n_kept == len(errors)
        assert (part.mean, part.maximum) == pytest.approx((errors.mean(), errors.max()))
        assert part.p90 == pytest.approx(np.quantile(errors[::2], 0.9))
        shares = [(errors <= value + 1e-9).mean() for value, _ in part.distribution]
        assert [share for _, share in part.distribution] == pytest.approx(shares)


def test_a_perfect_score_errs_never_its_reverse_always_and_a_constant_one_half_the_time():
    table = trials(seeds=(6,), digits=6)
    for score, expected in ((table[ACCURACY], 0.0), (-table[ACCURACY], 1.0), (0.5, 0.5)):
        found = sign_error(table.assign(**{SCORE: score}), SCORE, AUC).overall
        assert (found.mean, found.p90, found.maximum) == (expected, expected, expected)


def test_few_seeds_and_small_test_sets_are_dropped_and_counted():
    table = trials(seeds=(2, 5))
    assert sign_error(table, SCORE, AUC).overall.dropped[FEW_PAIRS] > 0
    small = sign_error(trials(n=50), SCORE, AUC)
    assert small.overall.dropped == {SMALL: small.overall.n_environments}
    assert small.overall.mean is None
    assert small.reason == f"no pair of configurations can be used ({small.overall.n_environments}: {SMALL})"


def test_an_environment_of_exactly_twelve_equal_pairs_is_kept():
    severity = np.repeat([0.0, 1.0], (3, 4))
    scores = {SCORE: severity, ACCURACY: 1 - severity, "test_ood.n": 2000}
    seeds = [0, 1, 2, 0, 1, 2, 3]
    table = pd.DataFrame(
        {"dataset": "d", "severity": severity, "method": "rrr", "seed": seeds, "data_seed": seeds, **scores}
    )
    found = sign_error(table, SCORE, AUC).overall
    assert (found.n_kept, found.maximum) == (1, 1.0)
    assert sign_error(table[1:], SCORE, AUC).overall.n_kept == 0


def test_the_fewer_images_of_a_pair_count():
    table = trials(seeds=(6,))
    mixed = table.assign(**{"test_ood.n": np.where(table["severity"] == 0, 10**9, 2000)})
    both = sign_error(mixed, SCORE, AUC).axes[0]
    assert both.mean == pytest.approx(sign_error(table, SCORE, AUC).axes[0].mean)


def test_the_number_of_images_is_never_guessed():
    table = trials().drop(columns="test_ood.n")
    found = sign_error(table, SCORE, AUC)
    assert found.overall.mean is None
    assert found.reason == ("the number of test images is unknown: no trial has the column 'test_ood.n' or 'hp.n_test'")
    assert sign_error(table.assign(**{"hp.n_test": 2000.0}), SCORE, AUC).overall.mean is not None
    partly = table.assign(**{"hp.n_test": np.where(table["hp.lr"] == 1, np.nan, 2000.0)})
    assert sign_error(partly, SCORE, AUC).n_missing == int((table["hp.lr"] == 1).sum())


def test_without_accuracy_auc_needs_the_size_of_the_smaller_class():
    table = trials().drop(columns=ACCURACY)
    assert "test_ood.n_smaller_class" in sign_error(table, SCORE, AUC).reason
    table[AUC] = trials()[ACCURACY]
    found = sign_error(table.assign(**{"test_ood.n_smaller_class": 2000}), SCORE, AUC)
    assert found.outcome == AUC
    assert found.overall.mean == pytest.approx(sign_error(trials(), SCORE, AUC).overall.mean)
