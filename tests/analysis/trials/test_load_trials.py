"""Trials from storage and from files: what is kept, what is left out and what is said about it."""

import numpy as np
import pandas as pd
import pytest

import analysis
from records import SweepRecords, open_storage

SCORE = "test_ood.iou.integrated_gradients"


def records_of(table):
    return [{**row, "schema_version": 1, "sweep": "demo"} for row in table.to_dict("records")]


@pytest.fixture
def stored(tmp_path, make_table):
    sweep = SweepRecords(open_storage(tmp_path), "demo")
    for record in records_of(make_table(seeds=4)):
        sweep.write(record)
    return sweep


def pieces_of(error, *pieces):
    for piece in pieces:
        assert piece in str(error.value), f"{piece!r} is not in {error.value}"


def test_a_sweep_in_storage(stored, tmp_path):
    stored.write_manifest({"primary": {"metric": "energy"}})
    trials = analysis.load_sweep(tmp_path, "demo")
    assert len(trials.table) == trials.n_read == 32
    assert trials.excluded == {}
    assert trials.primary == analysis.Primary(metric="energy")
    assert trials.sweep == "demo"
    assert str(tmp_path) not in trials.source  # a report names no place on a machine


def test_failed_diverged_and_unreadable_records_are_counted(stored, tmp_path):
    common = {"dataset": "crosses", "severity": 1.0, "method": "rrr", "seed": 9, "data_seed": 9, "schema_version": 1}
    stored.write({**common, "trial_key": "f", "status": "failed", "error": "out of memory"})
    stored.write({**common, "trial_key": "d", "status": "diverged", "error": "loss is not finite"})
    (tmp_path / "demo/records/broken.json").write_text('{"trial_key": "bro')
    trials = analysis.load_sweep(tmp_path, "demo")
    assert trials.excluded == {"diverged": 1, "failed": 1, "unreadable record": 1}
    assert (len(trials.table), trials.n_read) == (32, 35)
    assert any("broken.json" in note for note in trials.notes)


def test_no_such_sweep(stored, tmp_path):
    with pytest.raises(analysis.AnalysisError) as error:
        analysis.load_sweep(tmp_path, "dmeo")
    pieces_of(error, "no sweep 'dmeo'", "it holds demo", "--sweep")
    with pytest.raises(analysis.AnalysisError) as error:
        analysis.load_sweep(tmp_path / "nowhere", "demo")
    pieces_of(error, "it holds no sweep at all", "--storage")
    with pytest.raises(analysis.AnalysisError) as error:
        analysis.load_sweep(tmp_path, "../demo")
    pieces_of(error, "bad sweep name '../demo'")
    with pytest.raises(analysis.AnalysisError) as error:
        analysis.load_sweep("ftp://host/x", "demo")
    pieces_of(error, "unknown storage scheme 'ftp'", "s3://bucket/prefix")


def test_a_sweep_that_has_only_begun(tmp_path):
    SweepRecords(open_storage(tmp_path), "new").write_manifest({"space": "smoke"})
    with pytest.raises(analysis.AnalysisError, match="no finished trial yet"):
        analysis.load_sweep(tmp_path, "new")


def test_a_sweep_whose_trials_all_failed_says_why(tmp_path, make_table):
    sweep = SweepRecords(open_storage(tmp_path), "sad")
    for record in records_of(make_table(seeds=1)):
        kept = {name: value for name, value in record.items() if not name.startswith("test_")}
        sweep.write({**kept, "status": "failed", "error": "no space left\nmore"})
    with pytest.raises(analysis.AnalysisError) as error:
        analysis.load_sweep(tmp_path, "sad")
    pieces_of(error, "no completed trial", "8 failed", "no space left")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("manifest", "pieces"),
    [
        ('{"primary": {"metrics": "iou"}}', ["bad primary", "metrics", "split, metric, attribution, outcome"]),
        ('{"primary": {"split": "train"}}', ["'train'", "test_id and test_ood"]),
        ("{", ["not JSON"]),
    ],
)
def test_bad_manifests(stored, tmp_path, manifest, pieces):
    (tmp_path / "demo/sweep.json").write_text(manifest)
    with pytest.raises(analysis.AnalysisError) as error:
        analysis.load_sweep(tmp_path, "demo")
    pieces_of(error, *pieces)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_in_a_file_is_the_sweep_itself(tmp_path, make_table, kind):
    table = make_table(seeds=10)
    path = tmp_path / f"mine.{kind}"
    table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path, index=False)
    trials = analysis.load_file(path)
    assert (trials.sweep, trials.source, len(trials.table)) == ("mine", f"mine.{kind}", 80)
    whole = analysis.analyse(table, replicates=100)
    assert analysis.analyse(trials, replicates=100).verdict == whole.verdict


def test_the_fewest_columns_are_enough(tmp_path, make_table):
    path = tmp_path / "few.csv"
    table = make_table(seeds=10)[["dataset", "severity", "method", "seed", "test_ood.auc", SCORE]]
    table.to_csv(path, index=False)
    trials = analysis.load_file(path)
    result = analysis.analyse(trials, replicates=100)
    assert result.verdict.answer in ("yes", "no", "undecided")
    assert result.find("within_cell").interval == "cluster_jackknife"  # the seed serves as the data seed
    assert any("the seed serves as the unit of independence" in note for note in trials.notes)
    for name in ("'strength'", "'status'", "'model'", "'test_id.auc'"):
        assert any(name in sentence for sentence in trials.missing)


def test_a_whole_table_misses_nothing(make_table):
    assert analysis.trials_from_table(make_table(seeds=4), sweep="s", source="t").missing == ()


@pytest.mark.parametrize(
    ("drop", "pieces"),
    [
        (["method"], ["missing column 'method'", "dataset, severity, method, seed, test_ood.auc", "it has trial_key"]),
        (["seed", "test_ood.auc"], ["missing columns 'seed', 'test_ood.auc'"]),
        ([SCORE], ["no localisation column", "<split>.<metric>.<attribution>", "test_id or test_ood"]),
    ],
)
def test_missing_columns(make_table, drop, pieces):
    with pytest.raises(analysis.AnalysisError) as error:
        analysis.analyse(make_table().drop(columns=drop))
    pieces_of(error, *pieces)


def test_bad_values_are_excluded_each_once_under_its_reason(make_table):
    table = make_table(seeds=4)
    table = table.astype({"severity": object, "seed": object, "test_ood.auc": object})
    table.loc[0, "status"] = "failed"
    table.loc[0, "severity"] = "high"  # already counted as failed
    table.loc[1, "severity"] = "high"
    table.loc[2, "severity"] = 1.5
    table.loc[3, "test_ood.auc"] = "n/a"
    table.loc[4, "seed"] = None
    table.loc[5, "status"] = "running"
    table.loc[6, "dataset"] = None
    table = pd.concat([table, table.tail(2)], ignore_index=True)
    trials = analysis.trials_from_table(table, sweep="s", source="t")
    assert trials.excluded == {
        "duplicate trial": 2,
        "failed": 1,
        "no dataset": 1,
        "no seed": 1,
        "severity is not a number": 1,
        "severity outside 0 to 1": 1,
        "status 'running'": 1,
        "test_ood.auc is not a number": 1,
    }
    assert len(trials.table) == 34 - 9
    assert trials.n_read == 34


def test_duplicates_by_configuration_where_there_is_no_key(make_table):
    table = make_table(seeds=4).drop(columns="trial_key")
    twice = pd.concat([table, table.assign(**{"test_ood.auc": 0.1})], ignore_index=True)
    trials = analysis.trials_from_table(twice, sweep="s", source="t")
    assert trials.excluded == {"duplicate trial": 32}
    assert trials.table["test_ood.auc"].min() > 0.1  # the first of them stays
    assert any("add the column that tells them apart" in note for note in trials.notes)
    apart = pd.concat([table.assign(**{"hp.lr": 0.1}), table.assign(**{"hp.lr": 0.2})], ignore_index=True)
    assert analysis.trials_from_table(apart, sweep="s", source="t").excluded == {}


def test_a_list_among_the_hyperparameters_tells_trials_apart(make_table):
    table = make_table(seeds=1).drop(columns="trial_key")
    table["hp.attributions"] = [["a"], ["a", "b"]] * 4
    twice = pd.concat([table.assign(strength=1.0), table.tail(1).assign(strength=1.0)], ignore_index=True)
    assert analysis.trials_from_table(twice, sweep="s", source="t").excluded == {"duplicate trial": 1}


def test_a_failed_attempt_does_not_hide_the_completed_one(make_table):
    table = make_table(seeds=4)
    failed = table.head(1).assign(status="failed")
    trials = analysis.trials_from_table(pd.concat([failed, table], ignore_index=True), sweep="s", source="t")
    assert trials.excluded == {"failed": 1}
    assert len(trials.table) == 32


def test_infinities_and_words_in_a_score_count_as_missing(make_table):
    table = make_table(seeds=4).astype({SCORE: object})
    table.loc[0, SCORE] = np.inf
    table.loc[1, SCORE] = "none"
    trials = analysis.trials_from_table(table, sweep="s", source="t")
    assert trials.table[SCORE].isna().sum() == 2
    assert any(f"column {SCORE!r}: 1 value, taken as missing" in note for note in trials.notes)


@pytest.mark.parametrize(
    ("name", "text", "pieces"),
    [
        ("trials.xlsx", "", ["trials.xlsx", ".csv or .parquet"]),
        ("trials.csv", None, ["trials.csv", "no such file"]),
        ("trials.csv", "", ["trials.csv", "not a .csv table"]),
        ("trials.parquet", "nothing", ["trials.parquet", "not a .parquet table"]),
        ("trials.csv", f"dataset,severity,method,seed,test_ood.auc,{SCORE}\n", ["no trials", "run the sweep"]),
    ],
)
def test_bad_files(tmp_path, name, text, pieces):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(analysis.AnalysisError) as error:
        analysis.load_file(path)
    pieces_of(error, *pieces)


def test_search_chosen_and_early_stopped_trials_are_left_out_and_counted(make_table):
    table = make_table(seeds=4)
    table["hp.searcher"] = ["grid", "Random", "", None, "tpe", "optuna", *["grid"] * 26]
    table["stopped_early"] = [None, False, "false", 0, True, "True", 1, "1.0", *[0.0] * 24]
    trials = analysis.trials_from_table(table, sweep="s", source="t")
    assert trials.excluded == {"stopped early": 4}  # the search's are among them, and count once
    trials = analysis.trials_from_table(table.drop(columns="stopped_early"), sweep="s", source="t")
    assert trials.excluded == {"chosen by a search": 2}
    assert set(trials.table["hp.searcher"].fillna("")) == {"grid", "Random", ""}


def test_halves_and_sizes_are_numbers_too(make_table):
    names = ("test_ood.auc.half_1", f"{SCORE}.half_2", "test_ood.n", "test_ood.n_smaller_class", "hp.n_test")
    table = make_table(seeds=4).assign(**dict.fromkeys(names, "0.5"))
    table.loc[0, f"{SCORE}.half_2"] = "half"
    trials = analysis.trials_from_table(table, sweep="s", source="t")
    for name in names:
        assert trials.table[name].dtype == float, name
    assert any(f"column '{SCORE}.half_2': 1 value, taken as missing" in note for note in trials.notes)


def test_a_flag_that_is_neither_true_nor_false(make_table):
    table = make_table(seeds=4)
    table["stopped_early"] = ["perhaps", *[""] * 31]
    table["collapsed"] = [None, 3, *[True] * 30]
    trials = analysis.trials_from_table(table, sweep="s", source="t")
    assert trials.excluded == {"stopped_early is neither true nor false": 1, "collapsed is neither true nor false": 1}
    assert trials.table["collapsed"].tolist() == [True] * 30
