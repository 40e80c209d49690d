"""Records of a sweep: written, read, broken, of other versions, and as a table."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from records import StorageError, SweepRecords, columns, open_storage, store


def record(key, **more):
    settings = {"dataset": "synthetic", "severity": 1.0, "method": "baseline", "strength": 0.0, "seed": 0}
    written = {"data_seed": 0, "schema_version": columns.SCHEMA_VERSION, "mlflow_run_id": None}
    return {"trial_key": key, "status": "completed", **settings, **written, **more}


@pytest.fixture
def records(tmp_path):
    return SweepRecords(open_storage(tmp_path), "trial-sweep")


def test_a_record_is_one_file_under_its_key(records, tmp_path):
    records.write(record("abc", **{"test_ood.auc": 0.25}))
    path = tmp_path / "trial-sweep" / "records" / "abc.json"
    assert json.loads(path.read_text())["test_ood.auc"] == 0.25
    assert records.done() == {"abc"}
    assert records.read("abc") == json.loads(path.read_text())
    assert records.read("other") is None


def test_not_a_number_becomes_null_and_numpy_scalars_plain(records):
    records.write(record("abc", a=float("nan"), b=float("inf"), c=np.float32(0.5), d=np.int64(3), e=True))
    read = records.read("abc")
    assert (read["a"], read["b"], read["c"], read["d"], read["e"]) == (None, None, 0.5, 3, True)


def test_truncated_and_foreign_files_are_named_not_fatal(records, tmp_path):
    records.write(record("good"))
    folder = tmp_path / "trial-sweep" / "records"
    whole = (folder / "good.json").read_text()
    (folder / "cut.json").write_text(whole[:40])
    (folder / "renamed.json").write_text(whole)
    (folder / "text.json").write_text(json.dumps(record("text", schema_version="1")))
    (folder / "list.json").write_text("[]")
    loaded = records.load()
    assert [r["trial_key"] for r in loaded.records] == ["good"]
    reasons = {path.rsplit("/", 1)[1]: reason for path, reason in loaded.rejected.items()}
    assert reasons.keys() == {"cut.json", "renamed.json", "text.json", "list.json"}
    assert "truncated or foreign" in reasons["cut.json"]
    assert "does not have the trial key 'renamed'" in reasons["renamed.json"]
    assert "schema version '1' is not a whole number" in reasons["text.json"]

    moved = records.set_aside(loaded.rejected)
    assert sorted(moved) == [f"trial-sweep/set_aside/{n}.json" for n in ("cut", "list", "renamed", "text")]
    assert moved["trial-sweep/set_aside/cut.json"] == reasons["cut.json"]
    assert (tmp_path / "trial-sweep/set_aside/cut.json").read_text() == whole[:40]
    assert [path.name for path in folder.iterdir()] == ["good.json"]
    assert records.load().rejected == {}


@pytest.mark.parametrize("read", [lambda records: records.load(), lambda records: records.read("new")])
def test_a_record_of_a_newer_version_is_refused_with_its_file_and_the_fix(read, records, tmp_path):
    records.write(record("old"))
    records.write(record("new", schema_version=columns.SCHEMA_VERSION + 1))
    message = r"trial-sweep/records/new\.json was .* schema version is 2, .* up to 1\. Update the checkout \(git pull\)"
    with pytest.raises(StorageError, match=message):
        read(records)
    assert records.done() == {"new", "old"}


# One stored record of each schema version. Version 1: of its first commit, a92d367, by a TrialTrainable with a Recorder
# and n_train=64, n_valid=32, n_test=64, epochs=1, attribution_images=8, integrated_gradients_steps=4.
STORED = sorted(Path(__file__).parent.glob("stored/version-*.json"))


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_stored_records_of_every_version_are_read(path, records):
    stored = json.loads(path.read_text())
    records.storage.write(f"trial-sweep/records/{stored['trial_key']}.json", path.read_bytes())
    loaded = records.load()
    assert loaded.rejected == {}
    assert loaded.records == [records.read(stored["trial_key"])]
    read = loaded.records[0]
    assert read["schema_version"] == columns.SCHEMA_VERSION
    assert [read[name] for name in ("seed", "data_seed")] == [stored[name] for name in ("seed", "data_seed")]
    assert read["test_ood.auc"] == 0.7158203125


def test_every_version_has_a_stored_record_and_a_migration():
    stored = {json.loads(path.read_text())["schema_version"] for path in STORED}
    assert stored == {*store.MIGRATIONS, columns.SCHEMA_VERSION} == {*range(1, columns.SCHEMA_VERSION + 1)}


def test_earlier_versions_are_migrated_step_by_step_on_reading_alone(records, monkeypatch):
    records.write(record("abc", a=1))
    written = records.storage.read("trial-sweep/records/abc.json")
    monkeypatch.setattr(columns, "SCHEMA_VERSION", 3)
    renamed = {
        1: lambda old: {"b" if k == "a" else k: v for k, v in old.items()},
        2: lambda old: {**old, "c": old["b"]},
    }
    monkeypatch.setattr(store, "MIGRATIONS", renamed)
    (read,) = records.load().records
    assert (read["trial_key"], read["schema_version"], read["b"], read["c"], "a" in read) == ("abc", 3, 1, 1, False)
    assert records.storage.read("trial-sweep/records/abc.json") == written


def test_records_are_read_some_at_a_time_and_share_their_names(records, monkeypatch):
    for number in range(5):
        records.write(record(f"key-{number}", status="failed" if number == 3 else "completed"))
    records.storage.write("trial-sweep/records/key-2.json", b"{")
    read, asked = records.storage.read_many, []
    monkeypatch.setattr(store, "SLICE", 2)
    monkeypatch.setattr(records.storage, "read_many", lambda names: asked.append(len(names)) or read(names))
    loaded = records.load()
    assert asked == [2, 2, 1]
    assert [r["trial_key"] for r in loaded.records] == ["key-0", "key-1", "key-3", "key-4"]
    assert list(loaded.rejected) == ["trial-sweep/records/key-2.json"]
    names = {id(name) for one in loaded.records for name in one}
    assert len(names) == len(loaded.records[0])


def test_the_table_has_a_row_for_each_record_in_a_fixed_order(records):
    rows = [record("c", method="rrr", **{"test_ood.auc": 0.5, "hp.lr": 0.1}), record("b", status="failed", error="x")]
    table = records.write_table([*rows, record("a", severity=0.0, **{"test_ood.iou.occlusion": 0.25, "hp.lr": 0.2})])
    stored = pd.read_parquet(io.BytesIO(records.storage.read("trial-sweep/trials.parquet")))
    pd.testing.assert_frame_equal(stored, table)
    assert list(stored["trial_key"]) == ["a", "b", "c"]
    assert list(stored["status"]) == ["completed", "failed", "completed"]
    names = list(stored.columns)
    assert names.index("trial_key") < names.index("hp.lr") < names.index("test_ood.auc")
    assert names.index("test_ood.auc") < names.index("test_ood.iou.occlusion") < names.index("schema_version")


def test_artifacts_belong_to_their_trial_and_weights_are_deleted_alone(records):
    for key in ("a", "b"):
        records.write_artifact(key, "weights.pt", b"weights")
        records.write_artifact(key, "maps.npz", key.encode())
    assert records.artifacts("a") == ["maps.npz", "weights.pt"]
    assert records.read_artifact("a", "maps.npz") == b"a"
    assert records.read_artifact("other", "maps.npz") is None
    assert records.with_weights() == {"a", "b"}
    records.delete_weights("a")
    assert records.with_weights() == {"b"}
    assert records.artifacts("a") == ["maps.npz"]


def test_a_broken_manifest_is_named(records):
    assert records.manifest() is None
    records.storage.write("trial-sweep/sweep.json", b"{")
    with pytest.raises(ValueError, match=r"sweep\.json is not JSON .*remove it"):
        records.manifest()


@pytest.mark.parametrize("name", ["", "a b", "../up", "a/b", ".hidden", "x" * 101])
def test_names_that_are_no_file_names_are_refused(tmp_path, name):
    with pytest.raises(StorageError, match="bad sweep name"):
        SweepRecords(open_storage(tmp_path), name)


def test_repr_of_a_record(records):
    records.write(record("abc", **{"test_ood.auc": 0.25}))
    settings = "dataset='synthetic', severity=1.0, method='baseline', strength=0.0, seed=0"
    assert repr(records.read("abc")) == f"<Record abc: {settings}; completed, OOD AUC 0.250; 11 columns>"
    records.write(record("bad", status="failed"))
    assert repr(records.load().records[1]) == f"<Record bad: {settings}; failed; 10 columns>"


def test_a_record_is_added_only_where_none_or_a_failed_or_damaged_one_is(records):
    for existing, replaced in (({}, False), ({"status": "failed"}, True), (None, True)):
        records.write(record("abc", mlflow_run_id="first", **(existing or {})))
        if existing is None:
            records.storage.write("trial-sweep/records/abc.json", b"{")
        records.add(record("abc", host="second"))
        assert (records.read("abc").get("host") == "second") is replaced
    records.add(record("new"))
    assert records.done() == {"abc", "new"}


def test_the_run_is_noted_in_the_record_as_it_is_now(records):
    records.write(record("abc"))
    replace = records.storage.replace

    def changed_meanwhile(name, expected, data):
        records.storage.replace = replace
        records.write(record("abc", host="meanwhile"))
        return replace(name, expected, data)

    records.storage.replace = changed_meanwhile
    records.write_run_id("abc", "run")
    assert (records.read("abc")["host"], records.read("abc")["mlflow_run_id"]) == ("meanwhile", "run")
    records.write_run_id("deleted", "run")
    assert records.done() == {"abc"}
