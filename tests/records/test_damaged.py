"""Damaged records are refused with a reason, strange ones pass, and one bad answer of a server refuses nothing."""

import json

import pytest
from support.damaged import STRANGE, damaged

from records import SweepRecords, open_storage

RECORD = {"trial_key": "key", "status": "completed", "dataset": "synthetic", "severity": 1.0, "method": "rrr"}
RECORD |= {"strength": 0.5, "seed": 0, "data_seed": 0, "schema_version": 1, "test_ood.auc": 0.5}
FILE = "damaged/records/key.json"


@pytest.fixture
def records(tmp_path):
    return SweepRecords(open_storage(tmp_path), "damaged")


@pytest.mark.parametrize("data", damaged(RECORD).values(), ids=damaged(RECORD))
def test_a_damaged_record_is_set_aside_with_a_short_reason(data, records):
    records.storage.write(FILE, data)
    loaded = records.load()
    assert loaded.records == []
    (reason,) = loaded.rejected.values()
    assert reason.isprintable()
    assert len(reason) < 250
    with pytest.raises(ValueError, match=r".") as error:
        records.read("key")
    assert str(error.value) == reason
    assert records.set_aside(loaded.rejected) == {"damaged/set_aside/key.json": reason}
    assert records.storage.read("damaged/set_aside/key.json") == data
    assert records.done() == set()


def test_the_reason_names_the_column_the_value_and_what_is_allowed(records):
    for number, change in enumerate(({"status": "done"}, {"seed": 10**400}, {"severity": 1.5}, {"mine": [1] * 99})):
        key = f"{number}"
        records.storage.write(f"damaged/records/{key}.json", json.dumps(RECORD | {"trial_key": key} | change).encode())
    status, seed, severity, mine = records.load().rejected.values()
    assert status == "bad status 'done': input should be 'completed', 'failed' or 'diverged'"
    assert seed == f"bad seed 1{'0' * 59}…: input should be less than or equal to {2**63 - 1}"
    assert severity == "bad severity 1.5: input should be less than or equal to 1"
    assert mine.startswith("bad mine [1, 1, 1")
    assert mine.endswith("…: a column holds a text, a finite number, true, false or null")


@pytest.mark.parametrize("change", STRANGE.values(), ids=STRANGE)
def test_a_strange_record_is_read_as_it_is(change, records):
    records.write(RECORD | change)
    loaded = records.load()
    assert loaded.rejected == {}
    assert loaded.records == [RECORD | change]


def test_a_good_record_in_another_place_is_foreign(records):
    records.write(RECORD)
    data = records.storage.read(FILE)
    for file in ("old/key.json", "key", "key.JSON"):
        records.storage.write(f"damaged/records/{file}", data)
    loaded = records.load()
    assert (len(loaded.records), len(loaded.rejected)) == (1, 3)


def test_a_read_that_is_cut_short_once_rejects_nothing(records, s3_in_memory, monkeypatch):
    records = SweepRecords(open_storage("s3://bucket"), "damaged")
    for number in range(3):
        records.write({**RECORD, "trial_key": f"{number}"})
    answer, reads = s3_in_memory.get_object, []

    def cut_once(*, Bucket, Key):
        """As a proxy that sends half of an object, with the length of that half."""
        reads.append(Key)
        found = answer(Bucket=Bucket, Key=Key)
        if reads.count(Key) == 1:
            found["Body"].truncate(60)
        return found

    monkeypatch.setattr(s3_in_memory, "get_object", cut_once)
    loaded = records.load()
    assert (len(loaded.records), loaded.rejected) == (3, {})
    reads.clear()
    assert records.read("1") == loaded.records[1]
