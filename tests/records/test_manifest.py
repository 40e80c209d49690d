"""sweep.json: what is read is what was written, and invalid entries are refused."""

import json

import pytest
from support.commands import ROOT

from records.manifest import DeclaredSearch, Manifest, Primary, parse_manifest


@pytest.mark.parametrize(
    "manifest",
    [
        Manifest(),
        Manifest(space="laptop", primary=Primary(metric="iop"), comparisons=("seed",), planned_trials=3),
        Manifest(commands=("first", "last"), keep_weights="all", fixed={"synthetic": {"epochs": 3, "hp.x": None}}),
        Manifest(search=DeclaredSearch("tpe", "4.0", 1, 5, {"lr": (1e-5, 1e-2)}), deleted="2026-03-01T12:30:00+00:00"),
        Manifest(others={"of_a_later_version": [1, 2]}),
    ],
)
def test_reading_gives_what_was_written(manifest):
    assert parse_manifest(manifest.to_json().encode(), "sweep.json") == manifest


@pytest.mark.parametrize("sweep", ["laptop", "methods", "resnet18", "paper"])
def test_files_of_earlier_sweeps_are_read_whole(sweep):
    text = (ROOT / "docs/results" / sweep / "sweep.json").read_text()
    manifest = parse_manifest(text.encode(), "sweep.json")
    assert manifest.others == {}
    assert {"comparisons": list(manifest.comparisons)} | json.loads(text) == json.loads(manifest.to_json())


def test_omitted_entries_have_their_defaults():
    manifest = parse_manifest(b'{"primary": {"attribution": "occlusion"}, "comparisons": ["given_id", "seed"]}', "")
    assert manifest.primary == Primary("test_ood", "iou", "occlusion", "test_ood.auc")
    assert manifest.comparisons == ("seed", "given_id")
    assert parse_manifest(b"{}", "") == Manifest()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON .*correct or remove it"),
        ("[]", "holds no JSON object"),
        ('{"primary": {"metrics": "iou"}}', "bad primary.metrics 'iou' .* split, metric, attribution, outcome"),
        ('{"primary": {"split": "train"}}', "bad split 'train' .* test_id or test_ood"),
        ('{"primary": {"outcome": "test_ood.loss"}}', "bad outcome 'test_ood.loss'"),
        ('{"comparisons": ["seeds"]}', r"bad comparisons \['seeds'\].* seed, setting, method, given_id"),
        ('{"comparisons": []}', r"bad comparisons \[\]"),
        ('{"commands": "python"}', "bad commands 'python'"),
        ('{"planned_trials": "all"}', "bad planned_trials 'all'"),
        ('{"search": {"sampler": "tpe"}}', "bad search"),
        *((f'{{"fixed": {value}}}', "bad fixed.* should be a valid dictionary") for value in ("3", '{"d": 3}')),
    ],
)
def test_a_broken_file_is_refused_by_name(text, message):
    with pytest.raises(ValueError, match=message) as error:
        parse_manifest(text.encode(), "mine/sweep.json")
    assert "mine/sweep.json" in str(error.value)
