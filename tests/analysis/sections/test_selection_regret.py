"""Regrets, by hand and against a loop over choices."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import analyse
from analysis.answer.answer import answer
from analysis.sections.choices import RULES, selection_regret
from analysis.sections.selection_regret import SECTION, decision
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.trials.trials import UNKNOWN_DATA_SEEDS, Primary
from records.columns import OUTSIDES, PROBES, probe

X, Y, IV, OV = "test_id.iou.integrated_gradients", "test_ood.auc", "valid_id.auc", "valid_ood.auc"
X_OOD = "test_ood.iou.integrated_gradients"


def regrets(table):
    resamples = draw_resamples(table, replicates=1, seed=0)
    return {(r.rule, r.dataset, r.severity): r for r in selection_regret(table, Primary(), resamples)}


def table(rng=0, seeds=12, digits=2):
    generator = np.random.default_rng(rng)
    return pd.DataFrame(
        [
            {"dataset": d, "severity": s, "method": m, "seed": k, "data_seed": k}
            | dict(zip((X, Y, IV, OV, *PROBES, X_OOD), generator.uniform(size=8).round(digits), strict=True))
            for d in ("d", "e")
            for s in (0.0, 0.5, 1.0)
            for m in ("baseline", "masked", "rrr", "actdiff")
            for k in range(seeds)
        ]
    )


def test_one_choice_by_hand():
    # z(a) = (0, −, +), z(mu) = (−, +, 0), each by sqrt(3/2): the sums are −1.2, 0, 1.2, the third wins.
    scores = {Y: [0.9, 0.5, 0.7], X: [0.1, 0.3, 0.2], IV: [0.8, 0.7, 0.9], OV: [0.9, 0.4, 0.8]}
    one_choice = pd.DataFrame(scores | {"method": ["m0", "m1", "m2"]})
    result = regrets(one_choice.assign(dataset="d", severity=1.0, seed=0, data_seed=0))
    expected = {"id_valid": 0.2, "localisation_id": 0.4, "id_valid_and_localisation_id": 0.2, "ood_valid": 0}
    for rule, value in (expected | {"random": 0.2}).items():
        assert result[rule, "d", 1.0].estimate == pytest.approx(value)
        assert result[rule, None, None].estimate == pytest.approx(value)


def chosen(part, rule):
    """The mean outcome of what the rule picks among one choice's trials."""

    def z(values):
        return (values - values.mean()) / values.std(ddof=0) if values.std(ddof=0) > 0 else 0 * values

    criterion = {
        "id_valid": part[IV],
        "localisation_id": part[X],
        "id_valid_and_localisation_id": z(part[IV]) + z(part[X]),
        "localisation_ood": part[X_OOD],
        "ood_valid": part[OV],
        "oracle": part[Y],
        "random": 0 * part[X],
        "masked": part["method"].eq("masked").astype(float),
        **{f"outside_{outside}": part[probe(outside)] for outside in OUTSIDES},
    }[rule]
    return part.loc[criterion >= criterion.max() - 1e-12, Y].mean()


@pytest.mark.parametrize("rule", RULES)
def test_against_a_loop_over_data_seeds(rule):
    data = table(digits=1)  # one digit: many ties
    found = regrets(data)
    means = []
    for (dataset, severity), stratum in data.groupby(["dataset", "severity"]):
        values = [part[Y].max() - chosen(part, rule) for _, part in stratum.groupby("data_seed")]
        entry = found[rule, dataset, severity]
        assert entry.estimate == pytest.approx(np.mean(values))
        assert entry.whole_stratum == pytest.approx(stratum[Y].max() - chosen(stratum, rule))
        assert (entry.n, entry.n_choices) == (48, 12)
        if severity > 0:  # without a shift it is shown and does not count
            means.append(np.mean(values))
    assert found[rule, None, None].estimate == pytest.approx(np.mean(means))


def test_the_overall_interval_adds_up_what_a_data_seed_does_in_all_strata():
    data = table()
    per_seed = {
        key: part[Y].max() - chosen(part, "random") for key, part in data.groupby(["dataset", "severity", "data_seed"])
    }
    # Severities of a dataset share data seeds, datasets do not: variances of (s = .5) + (s = 1) add up, over 16.
    sums = [[per_seed[d, 0.5, k] + per_seed[d, 1.0, k] for k in range(12)] for d in ("d", "e")]
    variances = [stats.sem(v) ** 2 for v in sums]
    # Satterthwaite's degrees of freedom, 11 for each dataset.
    df = sum(variances) ** 2 / sum(v**2 / 11 for v in variances)
    reach = stats.t.ppf(0.975, df) * np.sqrt(sum(variances)) / 4
    entry = regrets(data)["random", None, None]
    assert entry.ci_high - entry.estimate == pytest.approx(reach)
    assert entry.estimate - entry.ci_low == pytest.approx(reach)


def test_an_interval_is_cut_at_zero():
    data = table(seeds=7)
    data[OV] = data[Y].where(data["data_seed"] > 0, -data[Y])  # the oracle errs on one data seed alone
    entry = regrets(data)["ood_valid", "d", 1.0]
    assert entry.estimate > 0
    assert entry.ci_low == 0


def test_a_stratum_without_a_shift_does_not_count():
    data = table()
    found = regrets(data)
    alone = regrets(data[data["severity"] > 0].reset_index(drop=True))
    assert found["random", "d", 0.0].estimate is not None
    for rule in RULES:
        assert found[rule, None, None] == alone[rule, None, None]
    found = regrets(data.assign(severity=0.0))
    assert found["localisation_id", None, None].reason == "no stratum has a shift (severity above 0)"


def test_every_rule_chooses_from_the_same_trials():
    data = table()
    data.loc[:4, IV] = np.nan
    found = regrets(data)
    assert {(found[rule, "d", 0.0].n, found[rule, "d", 0.0].n_missing) for rule in RULES} == {(43, 5)}


def test_a_rule_without_its_column_says_so_and_the_others_stand():
    found = regrets(table().drop(columns=IV))
    for rule in ("id_valid", "id_valid_and_localisation_id"):
        for where in ((None, None), ("d", 0.0)):
            assert found[rule, *where].estimate is None
            assert found[rule, *where].reason == f"no trial has the column '{IV}'"
    assert found["localisation_id", None, None].estimate is not None


def test_data_seeds_with_one_trial_are_one_choice_together():
    data = table()
    found = regrets(data[data["method"] == "rrr"].reset_index(drop=True))
    entry = found["random", "d", 1.0]
    part = data[(data["method"] == "rrr") & (data["dataset"] == "d") & (data["severity"] == 1.0)]
    assert entry.estimate == pytest.approx(part[Y].max() - part[Y].mean())
    assert (entry.n_choices, entry.ci_low) == (1, None)
    assert "one choice among all" in entry.interval_reason
    assert found["random", None, None].ci_low is None
    alone = regrets(table().assign(severity=1.0).iloc[:1])
    assert alone["random", None, None].reason == "1 trial, nothing to choose from"


def test_a_cost_that_no_data_seed_changes_has_no_interval():
    data = table()
    data[Y] = data["method"].map({"baseline": 0.5, "masked": 0.75, "rrr": 0.5, "actdiff": 0.25})
    entry = regrets(data)["masked", None, None]
    assert (entry.estimate, entry.ci_low) == (0.0, None)
    assert entry.interval_reason == "the same without any one of the data seeds"


def test_a_data_seed_without_masked_does_not_count_for_masked():
    """As while a sweep runs, when the trials of the last data seed are few."""
    data = table(seeds=7)
    data[Y] = data["method"].map({"baseline": 0.5, "masked": 0.75, "rrr": 1.0, "actdiff": 0.25})
    data = data[~(data["method"].eq("masked") & data["data_seed"].eq(3))].reset_index(drop=True)
    found = regrets(data)
    assert found["masked", None, None].estimate == pytest.approx(0.25)
    assert found["masked", "d", 1.0].n_choices == 6
    assert found["random", "d", 1.0].n_choices == 7


def test_missing_probes_of_one_dataset_do_not_change_the_other_rules():
    """Before them stand the same trials as with all probes; the probes' mean would be over other strata."""
    data = table(seeds=7)
    lacking = data.assign(**{name: data[name].where(data["dataset"] != "d") for name in PROBES})
    found, whole = regrets(lacking), regrets(data)
    probes = [f"outside_{outside}" for outside in OUTSIDES]
    for (rule, dataset, severity), entry in found.items():
        if rule not in probes or dataset == "e":
            assert entry == whole[rule, dataset, severity]
    for rule in probes:
        assert found[rule, "d", 1.0].reason == f"no trial of the stratum has the column '{probe(rule[8:])}'"
        assert (found[rule, None, None].estimate, found[rule, None, None].ci_low) == (None, None)
        assert found[rule, None, None].reason == "2 of 4 strata with a shift have it"
    result = answer(lacking.assign(**{"test_id.auc": data[Y]}), replicates=100)
    costs = SECTION.compute(result)
    assert "no probes" not in SECTION.sentence(result, costs)
    lack = "the cost of choosing by AUC with zeros outside the mask", "2 of 4 strata with a shift have it"
    assert lack in SECTION.missing(result, costs)


def test_without_data_seeds_it_is_unknown_what_was_trained_on_the_same_images():
    data = table(seeds=7).assign(**{"test_id.auc": 0.9}).drop(columns="data_seed")
    result = answer(data, replicates=100)
    costs = SECTION.compute(result)
    assert {(cost.dataset, cost.estimate, cost.reason) for cost in costs} == {(None, None, UNKNOWN_DATA_SEEDS)}
    assert SECTION.sentence(result, costs) == f"Not estimated: {UNKNOWN_DATA_SEEDS}."
    assert SECTION.missing(result, costs) == [(f"“{SECTION.title}”", UNKNOWN_DATA_SEEDS)]
    assert (SECTION.figures(result, costs), SECTION.tables(result, costs)) == ([None], [])


def decided(**effects):
    """The decision where each rule's criterion is the outcome plus noise of the given size."""
    rng, rows = np.random.default_rng(3), []
    for k in range(20):
        for method in ("baseline", "rrr", "actdiff", "gain"):
            outcome = rng.uniform()
            rows.append({"dataset": "d", "severity": 1.0, "method": method, "seed": k, "data_seed": k, Y: outcome})
            rows[-1] |= {name: outcome + rng.normal(0, noise) for name, noise in effects.items()}
    table = pd.DataFrame(rows)
    return decision(analyse(table, replicates=100)), table


def test_a_better_rule_is_advised_in_place_of_the_map():
    said, table = decided(**{X: 2.0, IV: 2.0, probe("swapped"): 0.0})
    swapped = "AUC with another image’s pixels outside the mask"
    assert said.advice == f"On these data, choose the model by {swapped}. Do not choose it by its map."
    picked = table.loc[table.groupby("data_seed")[X].idxmax()].set_index("data_seed")[Y]
    lost = table.groupby("data_seed")[Y].max() - picked
    reach = stats.t.ppf(0.975, 19) * lost.std() / np.sqrt(20)
    low, high = lost.mean() - reach, lost.mean() + reach
    # The probe loses nothing, so the difference is the map's cost.
    assert said.certainty == (
        f"Choosing by the map costs {lost.mean():.2f} more OOD test AUC than choosing by {swapped} (95\u00a0% interval "
        f"{low:.2f} to {high:.2f})."
    )


def test_the_map_is_advised_where_it_is_better_and_nothing_where_rules_are_alike():
    said, _ = decided(**{X: 0.0, IV: 2.0, probe("swapped"): 0.01})
    assert said.advice.startswith("On these data, choose the model by its map: it costs less than validation")
    assert "AUC with" not in said.advice, "alike"
    assert re.match(r"Choosing by the map costs (0\.\d\d) less .* interval 0\.\d\d to 0\.\d\d\)", said.certainty)
    said, _ = decided(**{X: 2.0, IV: 2.0})
    assert said.advice == "On these data, no rule tried is shown to be a better or a worse guide than the map."
    assert decided(**{X_OOD: 0.1})[0] is None, "no map of unshifted images"


def test_the_difference_from_the_map_is_paired_over_data_seeds():
    data = table()
    found = regrets(data)
    one = found["outside_swapped", "d", None]
    by_seed = []
    for rule in ("localisation_id", "outside_swapped"):
        costs = []
        for level in (0.5, 1.0):
            trials = data[(data["dataset"] == "d") & (data["severity"] == level)]
            choices = [part for _, part in trials.groupby("data_seed")]
            column = X if rule == "localisation_id" else probe("swapped")
            costs.append([part[Y].max() - part[Y][part[column] == part[column].max()].mean() for part in choices])
        by_seed.append(np.mean(costs, axis=0))
    saved = by_seed[0] - by_seed[1]
    expected = stats.ttest_1samp(saved, 0.0)
    assert one.saved == pytest.approx(saved.mean())
    assert one.saved_p == pytest.approx(expected.pvalue)
    assert (one.saved_low, one.saved_high) == pytest.approx(tuple(expected.confidence_interval()))


def test_the_datasets_on_which_the_choice_matters_are_named():
    """The map misleads on one dataset, whereas the probe is right on both."""
    rng, data = np.random.default_rng(4), table(seeds=20)
    data[probe("swapped")] = data[Y]
    data[X] = data[Y].where(data["dataset"] == "d", rng.uniform(size=len(data)))
    said = decision(analyse(data.assign(**{"test_id.auc": 0.9}), replicates=100))
    costs = regrets(data)
    on_e = costs["localisation_id", "e", None].estimate
    assert said.certainty.endswith(
        f"The choice between the two matters on e ({on_e:.2f} more), hardly on d (0.00 more)."
    )
    assert "masked" not in said.advice


def test_what_is_named_first_is_what_the_map_is_compared_with():
    """Training on masked images is the cheapest, and a probe within 0.005 of it."""
    data = table(seeds=20)
    data[Y] += data["method"].eq("masked")
    data[probe("swapped")] = data[Y]
    tied = data["data_seed"].eq(0) & data["dataset"].eq("d") & data["severity"].eq(1.0)
    data.loc[tied & data["method"].eq("rrr"), probe("swapped")] = 3.0
    said = decision(analyse(data.assign(**{"test_id.auc": 0.9}), replicates=100))
    assert said.advice.startswith(
        "On these data, train on masked images, or choose the model by AUC with another image’s"
    )
    assert " than training on masked images (95" in said.certainty
