"""The reading of kept maps: files that are damaged, or another program's, have no maps and end no report."""

import io
import os

import numpy as np
import pytest

from analysis.sections.kept_maps import read_maps
from analysis.trials.trials import Primary
from records import SweepRecords, open_storage
from records.store import MAPS

SQUARES = np.random.default_rng(0).random((2, 6, 6))
GOOD = {
    "test_ood.images": SQUARES[:, None].astype(np.float16),
    "test_ood.masks": SQUARES > 0.5,
    "test_ood.distractors": SQUARES < 0.1,
    "test_ood.map.occlusion": SQUARES.astype(np.float16),
    "test_ood.region.occlusion": SQUARES > 0.7,
    "test_ood.scored.labels": np.array([0, 1, 1]),
    "test_ood.scored.predicted": np.array([1, 1, 1]),
    "test_ood.scored.correct": np.array([False, True, True]),
    "test_ood.scored.index": np.arange(3),
    "test_ood.scored.iou.occlusion": np.array([0.1, 0.2, np.nan]),
    "class_names": np.array(["normal", "sick"]),
}
BAD = {
    "no images": {"test_ood.images": None},
    "images without channels": {"test_ood.images": SQUARES[0, 0]},
    "a mask of another size": {"test_ood.masks": np.ones((2, 5, 5), bool)},
    "one mask": {"test_ood.masks": np.ones((1, 6, 6), bool)},
    "maps of texts": {"test_ood.map.occlusion": np.full((2, 6, 6), "a")},
    "a region of another size": {"test_ood.region.occlusion": np.ones((2, 3, 3), bool)},
    "a cue of one dimension": {"test_ood.distractors": np.ones(2, bool)},
    "classes without names": {"test_ood.scored.labels": np.array([7, 8, 9])},
    "infinite classes": {"test_ood.scored.labels": np.array([np.inf, 1, 1])},
    "fewer classes": {"test_ood.scored.labels": np.array([1])},
    "scores of texts": {"test_ood.scored.iou.occlusion": np.array(["a", "b"])},
    "scores of squares": {"test_ood.scored.iou.occlusion": SQUARES},
    "pickles": {"test_ood.masks": np.array([None, None], dtype=object)},
}


@pytest.fixture
def kept(tmp_path):
    """Reads the maps of a trial that kept these bytes, or these arrays."""
    records = SweepRecords(open_storage(tmp_path), "sweep")

    def read(content, size=None):
        buffer = io.BytesIO()
        if isinstance(content, dict):
            np.savez_compressed(buffer, **{name: values for name, values in content.items() if values is not None})
        records.write_artifact("key", MAPS, buffer.getvalue() or content)
        if size:
            os.truncate(tmp_path / "sweep/artifacts/key" / MAPS, size)
        return read_maps(records, "key", Primary(metric="iou", attribution="occlusion", split="test_ood"))

    return read


def test_good_maps_are_read(kept):
    first, second = kept(GOOD)
    assert (first.answer, second.answer) == ("✗ predicted sick", "✓ predicted sick")
    assert (first.score, second.label, second.index) == (0.1, "sick", 1)


@pytest.mark.parametrize("case", BAD)
def test_arrays_that_do_not_fit_together_are_no_maps(case, kept):
    assert kept(GOOD | BAD[case]) == []


def test_damaged_archives_are_no_maps(kept, tmp_path):
    assert kept(GOOD)
    whole = (tmp_path / "sweep/artifacts/key" / MAPS).read_bytes()
    for bad in (b"<html>", whole[:-30], whole[:400] + bytes(40) + whole[440:], whole.replace(b"\x08\0", b"\x63\0")):
        assert kept(bad) == []
    assert kept(whole, size=2**40) == [], "it is not read"
