"""The picture of a trial's maps, read back pixel by pixel."""

import io

import numpy as np
import pytest
from PIL import Image

from analysis.sections.kept_maps import read_maps
from analysis.trials.trials import Primary
from records import SweepRecords, open_storage
from records.store import MAPS, Record
from trainables.core import picture as picture_module
from trainables.core.picture import GAP, LEFT, OUTLINES, TILE, TOP, labelled_grid, picture_of, saliency_panel, tile


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def at(picture, row, column):
    """The tile in this place of the grid."""
    y, x = TOP + row * (TILE + GAP), LEFT + column * (TILE + GAP)
    return picture[y : y + TILE, x : x + TILE]


@pytest.fixture
def arrays():
    mask = np.zeros((2, 14, 14), bool)
    mask[:, 2:6, 2:6] = True
    made = {"labels": np.array([0, 1])}
    for split, grey in (("test_id", 0.2), ("test_ood", 0.4)):
        made[f"{split}.images"] = np.full((2, 1, 14, 14), grey)
        made[f"{split}.masks"], made[f"{split}.distractors"] = mask, np.zeros_like(mask)
        made[f"{split}.map.occlusion"] = np.zeros((2, 14, 14))
        made[f"{split}.map.occlusion"][:, 10, 12] = 1.0
    return made


def test_tiles_outlines_and_maps_lie_where_they_should(arrays):
    picture = pixels(saliency_panel(arrays, ["occlusion"], "a title"))
    side = TILE // 14
    green = OUTLINES["masks"]
    for row, grey in enumerate((0.2, 0.4, 0.2, 0.4)):
        image, shown = at(picture, row, 0), at(picture, row, 1)
        np.testing.assert_array_equal(image[-1, -1], round(255 * grey))
        np.testing.assert_array_equal(image[2 * side, 2 * side], green)
        np.testing.assert_array_equal(image[4 * side, 4 * side], round(255 * grey))
        different = (image != shown).any(axis=2)
        assert different[10 * side : 11 * side, 12 * side : 13 * side].all()
        assert different.sum() == side**2


@pytest.mark.parametrize(("size", "side"), [(28, 140), (64, 192), (224, 224), (300, 256)])
def test_an_image_is_large_and_in_its_colours_and_a_map_lies_on_grey(size, side):
    image = np.zeros((3, size, size))
    image[0, :, : size // 2], image[2, :, size // 2 :] = 1.0, 0.6
    nothing, heat = np.zeros((1, size, size), bool), np.zeros((1, size, size))
    heat[:, 0, 0] = 1.0
    arrays = {"s.images": image[None], "s.masks": nothing, "s.distractors": nothing, "s.map.occlusion": heat}
    shown, under = (tile(arrays, "s", 0, column) for column in ("image", "occlusion"))
    assert shown.shape == under.shape == (side, side, 3)
    np.testing.assert_array_equal(shown[side // 2, [0, -1]], [[255, 0, 0], [0, 0, 153]])
    np.testing.assert_array_equal(under[side // 2, [0, -1]], [[85] * 3, [51] * 3])
    grid = pixels(labelled_grid([[shown], [shown]], ["a", "b"], ["c"], ""))
    np.testing.assert_array_equal(grid[TOP + side + GAP : TOP + 2 * side + GAP, LEFT : LEFT + side], shown)


@pytest.fixture
def uneven(arrays):
    """As of a trial of three classes, of which test_id has one scored image and test_ood two."""
    of_id = {name: values[:1] for name, values in arrays.items() if name.startswith("test_id.")}
    labels = {"test_id.scored.labels": np.array([2]), "test_ood.scored.labels": np.array([0, 1])}
    return arrays | of_id | labels


@pytest.fixture
def drawn(monkeypatch):
    """The names of the rows and the title of each picture that is drawn."""
    calls = []
    grid = picture_module.labelled_grid

    def spy(tiles, rows, columns, title):
        calls.append((rows, title))
        return grid(tiles, rows, columns, title)

    monkeypatch.setattr(picture_module, "labelled_grid", spy)
    return calls


def test_a_row_names_the_class_of_its_splits_image(uneven, drawn):
    saliency_panel(uneven, ["occlusion"], "a title")
    assert drawn[0][0] == ["test_id\nclass 2", "test_ood\nclass 0", "test_ood\nclass 1"]


@pytest.mark.parametrize(("auc", "text"), [(0.25, "0.250"), (None, "undefined"), (float("nan"), "undefined")])
def test_the_title_has_the_auc_or_says_that_there_is_none(auc, text, arrays, drawn):
    settings = {"dataset": "d", "severity": 1.0, "method": "m", "strength": 0.5, "hp.attributions": "occlusion"}
    picture_of(Record(settings | {"test_ood.auc": auc}), arrays)
    assert drawn[0][1] == f"d, severity 1, m 0.5, OOD AUC {text}"


@pytest.mark.parametrize(("split", "labels"), [("test_id", [2]), ("test_ood", [0, 1])])
def test_the_report_reads_the_classes_of_its_splits_images(split, labels, uneven, tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, **uneven, **{f"{split}.scored.index": np.arange(5)})
    records = SweepRecords(open_storage(tmp_path), "sheets")
    records.write_artifact("key", MAPS, buffer.getvalue())
    maps = read_maps(records, "key", Primary(metric="iou", attribution="occlusion", split=split))
    assert [kept.class_number for kept in maps] == labels
