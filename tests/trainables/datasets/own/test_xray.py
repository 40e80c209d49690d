"""The X-ray sets: counts of the published tables, the published split, and small images for some of their rows."""

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from support import own_images

import trainables
from search_spaces import SPACES
from trainables import Trial, resolve
from trainables.core.errors import ConfigurationError
from trainables.datasets import find_dataset
from trainables.datasets.own.prepare import ellipse_inside
from trainables.datasets.xray.rsna_view import RSNAView
from trainables.datasets.xray.xray import published_split
from trainables.datasets.xray.xray_site import XraySite, labelled
from trainables.saliency.attribution import ATTRIBUTIONS

# Reading the tables of torchxrayvision takes ten seconds.
pytestmark = pytest.mark.slow

SPLITS = ("train", "valid_id", "valid_ood", "test_id", "test_ood")
PER_CELL = 24
SIDE = 16


def opened(name, root, severity=1.0, data_seed=0, **options):
    settings = {"dataset": name, "root": str(root), "image_size": SIDE, "subset": True, **options}
    config = resolve({"severity": severity, **settings})
    dataset = find_dataset(name)
    return dataset(dataset.Options(**config.dataset_options), severity, data_seed)


@pytest.fixture(scope="module")
def candidates():
    """Rows by cell."""
    site, view = {}, {}
    for row in XraySite.candidates(XraySite.Options()):
        site.setdefault((row.group, row.label), []).append(row)
    for row in RSNAView.candidates(RSNAView.Options()):
        view.setdefault((row.group, row.label), []).append(row)
    return site, view


def some(rows):
    """Rows of 20 patients, four of them with a second image where there is one; `PER_CELL` in all."""
    first, second = {}, {}
    for row in rows:
        (second if row.subject in first else first).setdefault(row.subject, row)
    twice = list(second.values())[:4]
    others = [row for row in first.values() if row.subject not in {again.subject for again in twice}]
    return [*(first[again.subject] for again in twice), *twice, *others][:PER_CELL]


@pytest.fixture(scope="module")
def xrays(candidates, tmp_path_factory):
    """NIH/ and PadChest/ with a few 8- and 16-bit PNG, and an RSNA folder of JPEG-free 8-bit DICOM."""
    root = tmp_path_factory.mktemp("xrays")
    rng = np.random.default_rng(0)
    for (group, _), rows in candidates[0].items():
        folder = root / ("NIH/images_001/images" if group == "NIH" else "PadChest/0")
        folder.mkdir(parents=True, exist_ok=True)
        for row in some(rows):
            kind, top = (np.uint8, 256) if group == "NIH" else (np.uint16, 65536)
            (folder / f"{row.image}.png").write_bytes(own_images.png_bytes(rng.integers(0, top, (32, 32), dtype=kind)))
    (root / "stage_2_train_images").mkdir()
    for rows in candidates[1].values():
        for row in some(rows):
            data = own_images.dicom_bytes(rng.integers(0, 256, (64, 64)), bits=8)
            (root / "stage_2_train_images" / f"{row.image}.dcm").write_bytes(data)
    return root


def test_counts_of_the_published_tables(candidates):
    # Viviano et al. 2021: 2,776 images of cardiomegaly at NIH, with all 63,137 images of 25,492 patients; 1,348 PA
    # images of pneumonia at RSNA.
    site, view = candidates
    counts = {cell: len(rows) for cell, rows in site.items()}
    assert counts["NIH", "cardiomegaly"] == 2776
    assert counts["NIH", "cardiomegaly"] + counts["NIH", "no finding"] == 63137
    patients = {row.subject for (group, _), rows in site.items() if group == "NIH" for row in rows}
    assert len(patients) == 25492
    assert len(view["PA", "pneumonia"]) == 1348
    assert sum(map(len, view.values())) == 26684


def test_exact_labels_exclude_findings_that_only_contain_the_word():
    names = ("cardiomegaly", "normal")
    for findings, by_name, by_substring in (
        (("normal",), "no finding", "no finding"),
        (("nodule", "normal"), None, "no finding"),
        (("abnormal foreign body",), None, "no finding"),
        (("cardiomegaly", "normal"), None, "cardiomegaly"),
        (("kyphosis",), None, None),
    ):
        assert labelled(findings, names, "exact") == by_name, findings
        assert labelled(findings, names, "substring") == by_substring, findings
    only_pa = XraySite.candidates(XraySite.Options(nih_views="PA"))
    assert sum(row.group == "NIH" and row.label == "cardiomegaly" for row in only_pa) == 2776 - 1213


@pytest.mark.parametrize("ratio", [0.9, 0.5, 0.75])
def test_the_published_split_is_that_of_torchxrayvision(ratio):
    state = np.random.get_state()  # noqa: NPY002
    try:
        from torchxrayvision.datasets import CovariateDataset

        rng = np.random.default_rng(1)
        sizes = (70, 90)
        labels = [rng.integers(0, 2, size) for size in sizes]

        class Site:
            def __init__(self, size):
                self.csv = pd.DataFrame({"image": range(size)})

            def __len__(self):
                return len(self.csv)

        sites = [Site(size) for size in sizes]
        parts = published_split(np.repeat([0, 1], sizes), np.concatenate(labels), ratio, seed=3)
        for mode, index in parts.items():
            theirs = CovariateDataset(sites[0], labels[0], sites[1], labels[1], ratio=ratio, mode=mode, seed=3)
            np.testing.assert_array_equal(index, theirs.select_idx)
    finally:
        np.random.set_state(state)  # noqa: NPY002


@pytest.mark.parametrize(("name", "second"), [("xray_site", "PadChest"), ("rsna_view", "AP")])
def test_the_cue_is_the_group_and_no_patient_is_in_two_pools(name, second, xrays):
    dataset = opened(name, xrays, 0.8)
    dataset.check()
    rows, index, splits = dataset.decoded().rows, dataset.index(), dataset.splits()
    for split_name, split in splits.items():
        agreeing = (split.cues == split.labels).sum().item()
        assert abs(agreeing - len(split) * (0.1 if split_name.endswith("ood") else 0.9)) <= 1
        assert [rows[i].group == second for i in index[split_name]] == split.cues.bool().tolist()
    pools = [{rows[i].subject for n in names for i in index[n]} for names in (SPLITS[:1], SPLITS[1:3], SPLITS[3:])]
    assert len(set.union(*pools)) == sum(map(len, pools))


@pytest.mark.usefixtures("held")
def test_masks_are_ellipses_everywhere_or_boxes_of_sick_patients(xrays, candidates):
    for split in opened("xray_site", xrays, 0.5).splits().values():
        expected = torch.from_numpy(ellipse_inside(2.5, SIDE, SIDE))
        # At half the size, edge pixels may fall on either side.
        assert (split.masks[:][:, 0] ^ expected).flatten(1).sum(dim=1).max() <= 8
    dataset = opened("rsna_view", xrays, 0.5)
    decoded = dataset.decoded()
    labels = np.array([row.label == "pneumonia" for row in decoded.rows])
    np.testing.assert_array_equal(decoded.masks.any(axis=(1, 2)), labels)
    by_name = {row.image: row for rows in candidates[1].values() for row in rows}
    for row, mask in zip(decoded.rows, decoded.masks, strict=True):
        boxes = by_name[row.image.rsplit(".", 1)[0]].boxes
        drawn = np.zeros((1024, 1024), dtype=bool)
        for box in boxes:
            drawn[int(box.y) : int(box.y + box.height), int(box.x) : int(box.x + box.width)] = True
        share = drawn.reshape(SIDE, 64, SIDE, 64).mean(axis=(1, 3))
        assert mask[share > 0.95].all()
        assert not mask[share == 0].any()


@pytest.mark.usefixtures("held")
def test_the_published_split_as_an_option(xrays):
    dataset = opened("xray_site", xrays, 0.8, split_by="published")
    splits, index = dataset.splits(), dataset.index()
    # n = 24 images a cell: train has int(21.6) of the agreeing cells and int(2.4) of the others, valid int(1.2) and
    # int(10.8), test the 2 and 12 that are left.
    assert [len(splits[name]) for name in ("train", "valid_ood", "test_ood")] == [46, 22, 28]
    for name, agreeing in (("train", 42), ("valid_ood", 2), ("test_ood", 4)):
        assert (splits[name].cues == splits[name].labels).sum() == agreeing
    assert set(index["test_id"]) <= set(index["test_ood"])
    agree = (splits["test_id"].cues == splits["test_id"].labels).float().mean()
    assert abs(agree - 0.9) <= 0.5 / (len(splits["test_id"]) / 2)
    with pytest.raises(ConfigurationError, match="leaves no in-distribution images for valid_id at severity 1"):
        opened("xray_site", xrays, 1.0, split_by="published").check()
    with pytest.raises(ConfigurationError, match="n_train=8 has no effect with split_by=published"):
        opened("xray_site", xrays, 0.8, split_by="published", n_train=8).check()


@pytest.mark.parametrize(("method", "precision"), [("masked", "float32"), ("gradmask", "bfloat16")])
def test_a_trial_of_the_published_protocol_has_every_score(method, precision, xrays):
    every = tuple(name for name in ATTRIBUTIONS.builtin if name != "layer_grad_cam")
    (settings,) = (
        s
        for s in SPACES["paper_seeds"]().on_request["xray_site"]
        if (s["method"], s["preset"], s["severity"], s["seed"]) == (method, "paper", 0.8, 451)
    )
    small = {"model": "small_cnn", "epochs": 2, "selection_warmup": 0, "image_size": SIDE, "precision": precision}
    maps = {"attributions": every, "attribution_passes": 12, "integrated_gradients_steps": 4}
    extra = {"faithfulness": True, "attribution_images": 8, "root": str(xrays), "subset": True}
    trial = Trial(resolve({**settings, **small, **maps, **extra}))
    while not trial.finished:
        trial.train_epoch()
    localised = trial.localise()
    scores = trial.evaluate() | localised.scores
    assert {f"test_id.auc_outside_{how}" for how in ("zeroed", "shuffled", "swapped")} <= set(scores)
    assert {f"test_ood.faithfulness.sensitivity_max.{name}" for name in every} <= set(scores)
    # Fewer than five right, or wrong, answers leave no comparison with them.
    assert not [name for name, value in scores.items() if "auroc" not in name and not np.isfinite(value)]
    for name in ("test_id", "test_ood"):
        images = localised.arrays[f"{name}.images"]
        assert 0 <= images.min() < 0.4 < 0.6 < images.max() <= 1, "for display"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"root": ""}, "dataset 'xray_site' needs root=FOLDER with NIH/ and PadChest/.*docs/xray.md"),
        ({"subset": False}, "of 11104 images are not in .*row.*subset=true"),
        ({"per_cell": 30}, "per_cell=30.*has 24 images; lower per_cell"),
    ],
)
def test_unusable_data_are_refused(options, message, xrays):
    with pytest.raises(ConfigurationError, match=message):
        opened("xray_site", **{"root": xrays, **options})


def test_starting_loads_neither_torchxrayvision_nor_pydicom():
    for path in Path(trainables.__file__).parent.rglob("*.py"):
        for statement in ast.parse(path.read_text()).body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                assert not {"torchxrayvision", "pydicom", "tifffile"} & set(ast.unparse(statement).split()), path
