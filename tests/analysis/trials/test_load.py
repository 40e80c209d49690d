"""Trials from storage and from files."""

from contextlib import contextmanager
from dataclasses import replace

import pandas as pd
import pytest

import analysis
from analysis.answer.answer import answer
from analysis.trials.load import trials_of_sweep
from analysis.trials.trials import UNKNOWN_DATA_SEEDS
from records import Manifest, SweepRecords, columns, open_storage
from records.store import as_table

SCORE = "test_ood.iou.integrated_gradients"


def records_of(table):
    return [{**row, "schema_version": 1, "sweep": "demo"} for row in table.to_dict("records")]


@pytest.fixture
def stored(tmp_path, make_table):
    sweep = SweepRecords(open_storage(tmp_path), "demo")
    for record in records_of(make_table(seeds=4)):
        sweep.write(record)
    return sweep


@contextmanager
def refused(*pieces):
    """AnalysisError with these pieces in its message."""
    with pytest.raises(analysis.AnalysisError) as error:
        yield error
    for piece in pieces:
        assert piece in str(error.value), f"{piece!r} is not in {error.value}"


def test_a_sweep_in_storage(stored, tmp_path):
    stored.write_manifest(Manifest(primary=analysis.Primary(metric="energy")))
    trials = analysis.load_sweep(tmp_path, "demo")
    assert len(trials.table) == trials.n_read == 32
    assert trials.excluded == {}
    assert (trials.sweep, trials.primary) == ("demo", analysis.Primary(metric="energy"))
    assert str(tmp_path) not in trials.source  # a report names no place on a machine


def test_failed_diverged_and_unreadable_records_are_counted(stored, tmp_path):
    common = {"dataset": "crosses", "severity": 1.0, "method": "rrr", "strength": 1.0, "seed": 9, "data_seed": 9}
    common["schema_version"] = 1
    stored.write({**common, "trial_key": "f", "status": "failed", "error": "out of memory"})
    stored.write({**common, "trial_key": "d", "status": "diverged", "error": "loss is not finite"})
    (tmp_path / "demo/records/broken.json").write_text('{"trial_key": "bro')
    trials = analysis.load_sweep(tmp_path, "demo")
    assert trials.excluded == {"diverged": 1, "failed": 1, "unreadable record": 1}
    assert (len(trials.table), trials.n_read) == (32, 35)
    assert any("broken.json" in note for note in trials.notes)


def test_trials_of_a_newer_schema_version_are_refused_from_records_and_from_a_table(stored, tmp_path, make_table):
    record = records_of(make_table(seeds=4))[0]
    newer = {**record, "schema_version": columns.SCHEMA_VERSION + 1}
    as_table([*stored.load().records[1:], newer]).to_csv(tmp_path / "trials.csv", index=False)
    with refused("trials.csv has trials of schema version 2", "versions up to 1", "update the checkout"):
        analysis.load_file(tmp_path / "trials.csv")
    stored.write(newer)
    with refused(f"demo/records/{record['trial_key']}.json", "version is 2", "up to 1", "Update the checkout"):
        analysis.load_sweep(tmp_path, "demo")


def test_loaded_records_give_the_same_trials_as_storage(stored, tmp_path):
    (tmp_path / "demo/records/broken.json").write_text('{"trial_key": "bro')
    loaded = stored.load()
    trials = trials_of_sweep(stored, stored.write_table(loaded.records), loaded.rejected)
    again = analysis.load_sweep(tmp_path, "demo")
    pd.testing.assert_frame_equal(trials.table, again.table)
    assert replace(trials, table=again.table, records=again.records) == again
    assert trials.excluded == {"unreadable record": 1}


def test_no_such_sweep(stored, tmp_path):
    with refused("no sweep 'dmeo'", "it holds demo", "--sweep"):
        analysis.load_sweep(tmp_path, "dmeo")
    with refused("it holds no sweep at all", "--storage"):
        analysis.load_sweep(tmp_path / "nowhere", "demo")
    with refused("bad sweep name '../demo'"):
        analysis.load_sweep(tmp_path, "../demo")
    with refused("unknown storage scheme 'ftp'", "s3://bucket/prefix"):
        analysis.load_sweep("ftp://host/x", "demo")
    SweepRecords(open_storage(tmp_path), "new").write_manifest(Manifest(space="smoke"))
    with refused("no finished trial yet"):
        analysis.load_sweep(tmp_path, "new")


def test_the_error_of_a_failed_sweep_names_the_cause(tmp_path, make_table):
    sweep = SweepRecords(open_storage(tmp_path), "sad")
    for record in records_of(make_table(seeds=1)):
        kept = {name: value for name, value in record.items() if not name.startswith("test_")}
        sweep.write({**kept, "status": "failed", "error": "no space left\nmore"})
    with refused("no completed trial", "8 failed", "no space left") as error:
        analysis.load_sweep(tmp_path, "sad")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_gives_the_same_answer_as_a_data_frame(tmp_path, make_table, kind):
    table = make_table(seeds=10)
    path = tmp_path / f"mine.{kind}"
    table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path, index=False)
    trials = analysis.load_file(path)
    assert (trials.sweep, trials.source, len(trials.table)) == ("mine", f"mine.{kind}", 80)
    assert answer(trials, replicates=100).verdict == answer(table, replicates=100).verdict


def test_the_fewest_columns_are_enough(make_table):
    table = make_table(seeds=10)[["dataset", "severity", "method", "seed", "test_ood.auc", SCORE]]
    trials = analysis.trials_from_table(table, sweep="s", source="t")
    result = answer(trials, replicates=100)
    # It is unknown which trials share their images, so nothing has an interval.
    assert (trials.data_seeds_known, {c.reason for c in result.comparisons}) == (False, {UNKNOWN_DATA_SEEDS})
    assert result.find("within_cell").interval is None
    absent = [sentence.split("'")[1] for sentence in trials.missing]
    assert absent == ["strength", "status", "model", "test_id.auc", "data_seed"]


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
    with refused(*pieces):
        analysis.load_file(path)


def beside(tmp_path, make_table, manifest):
    path = tmp_path / "study/trials.parquet"
    path.parent.mkdir()
    make_table(columns=("test_ood.iou.integrated_gradients", "test_ood.iou.occlusion")).to_parquet(path)
    (path.parent / "sweep.json").write_text(manifest)
    return path


def test_a_sweep_json_beside_a_table_declares_for_it(tmp_path, make_table):
    declared = '{"primary": {"attribution": "occlusion"}, "comparisons": ["given_id", "seed"]}'
    trials = analysis.load_file(beside(tmp_path, make_table, declared))
    assert (trials.sweep, trials.primary.attribution) == ("study", "occlusion")
    assert trials.comparisons == ("seed", "given_id")
    result = answer(trials, replicates=100)
    assert [part.comparison for part in result.comparisons] == ["seed", "given_id"]
    assert not any("declared" in note for note in result.notes)


def test_a_broken_sweep_json_is_refused(stored, tmp_path, make_table):
    (tmp_path / "demo/sweep.json").write_text("{")
    with refused("demo/sweep.json is not JSON"):
        analysis.load_sweep(tmp_path, "demo")
    with refused("study/sweep.json is not JSON"):
        analysis.load_file(beside(tmp_path, make_table, "{"))
