"""Thumbnails of maps for the page: what they show, worked out by hand, and which fit into it."""

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import analysis
from analysis.answer.answer import answer
from analysis.sections import map_browser, page_trials
from analysis.sections.kept_maps import strongest
from analysis.sections.map_browser import (
    SECTION,
    Picture,
    Tile,
    browser_of,
    mostly,
    page_data,
    shrunk,
    within,
)
from analysis.trials.trials import Primary
from records import SweepRecords, open_storage

SPLIT, ATTRIBUTION = "test_ood", "integrated_gradients"


def region(text, shape):
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8))[: shape[0] * shape[1]].reshape(shape) == 1


def stored(maps, masks, **others):
    images = np.linspace(0, 1, masks.size).reshape(len(masks), 1, *masks.shape[1:])
    arrays = {
        "labels": np.ones(len(masks), dtype=int),
        f"{SPLIT}.images": images.astype(np.float16),
        f"{SPLIT}.masks": masks,
        f"{SPLIT}.map.{ATTRIBUTION}": maps.astype(np.float16),
        **{f"{SPLIT}.{name}": values for name, values in others.items()},
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.fixture
def sweep(make_table, tmp_path):
    """Two trials on one data seed with two maps each; a third trial has none."""
    records = SweepRecords(open_storage(tmp_path), "looked-at")
    table = make_table(seeds=1, severities=(1.0,), methods=("baseline", "masked", "rrr"))
    masks = np.zeros((2, 16, 16), dtype=bool)
    masks[:, 2:6, 2:6] = True
    for record in table.to_dict("records"):
        records.write({**record, "schema_version": 1, "sweep": "looked-at"})
        if record["method"] != "rrr":
            place = {"baseline": 8, "masked": 2}[record["method"]]
            maps = np.zeros((2, 16, 16))
            maps[:, place : place + 4, place : place + 4] = 1
            scored = {
                f"region.{ATTRIBUTION}": maps == 1,
                "scored.predicted": np.array([1, 0, 1]),
                "scored.index": np.array([3, 7, 9]),
                "scored.correct": np.array([True, False, True]),
                f"scored.iou.{ATTRIBUTION}": np.array([0.25, np.nan, 1.0], dtype=np.float32),
            }
            records.write_artifact(record["trial_key"], "maps.npz", stored(maps, masks, **scored))
    return tmp_path


def test_a_tile_has_the_scored_pixels_the_score_and_the_answer(sweep):
    trials = analysis.load_sweep(sweep, "looked-at")
    browser = browser_of(trials, Primary())
    assert (browser.n_kept, browser.n_trials, browser.lacks) == (4, 2, ())
    methods = trials.table["method"].tolist()
    for tile in browser.tiles:
        place = {"baseline": 8, "masked": 2}[methods[tile.trial]]
        inside = np.zeros((16, 16), dtype=bool)
        inside[place : place + 4, place : place + 4] = True
        assert (region(tile.map, tile.picture.shape) == inside).all()
        assert region(tile.picture.mask, (16, 16)).sum() == region(tile.picture.mask, (16, 16))[2:6, 2:6].sum() == 16
        assert (tile.index, tile.correct, tile.score) == [(3, True, 0.25), (7, False, None)][tile.rank]
        assert (tile.label, tile.predicted) == [("1", "1"), ("1", "0")][tile.rank]
    assert len({tile.picture for tile in browser.tiles}) == 2, "trials of a data seed share their images"
    image = Image.open(io.BytesIO(base64.b64decode(browser.tiles[0].picture.image)))
    assert (image.format, image.size) == ("WEBP", (16, 16))


def test_the_complement_of_a_metric_is_shown(sweep):
    trials = analysis.load_sweep(sweep, "looked-at")
    (key, *_) = trials.table["trial_key"]
    masks = np.ones((1, 4, 4), dtype=bool)
    own = {f"scored.distractor_mass.{ATTRIBUTION}": np.array([0.3], dtype=np.float32)}
    trials.records.write_artifact(key, "maps.npz", stored(np.ones((1, 4, 4)), masks, **own))
    tile = next(t for t in browser_of(trials, Primary(metric="1-distractor_mass")).tiles if t.trial == 0)
    assert tile.score == pytest.approx(0.7, abs=1e-6)


def test_a_table_without_storage_has_no_maps(make_table):
    result = answer(make_table(seeds=2), replicates=100)
    browse = SECTION.compute(result)
    assert browse().tiles == ()
    assert (SECTION.sentence(result, browse), SECTION.interactive(result, browse)) == ("", None)


def test_blocks_are_averaged():
    image = np.arange(25.0).reshape(1, 5, 5)
    assert shrunk(image, 5).tolist() == image.tolist()
    # Blocks of two pixels, the last ones of one.
    assert shrunk(image, 3)[0].tolist() == [[3, 5, 6.5], [13, 15, 16.5], [20.5, 22.5, 24]]
    colour = np.stack([image, 2 * image, 0 * image], axis=-1)
    assert shrunk(colour, 3)[0, ..., 1].tolist() == [[6, 10, 13], [26, 30, 33], [41, 45, 48]]


def test_regions_are_drawn_by_their_share_of_each_block():
    # One that covers no block by half is drawn wherever it is.
    assert mostly(np.array([[[0.6, 0.4]], [[0.2, 0.0]]])).tolist() == [[[True, False]], [[True, False]]]
    share = np.array([[[0.1, 0.3], [0.2, 0.0]]] * 3)
    assert strongest(share, np.array([1, 2, 4]), ties=True).sum(axis=(1, 2)).tolist() == [1, 2, 3]
    assert strongest(np.full((1, 2, 2), 0.1), np.array([1]), ties=True).all()


def tile(trial, rank, score=0.5, image="shared"):
    return Tile(trial, rank, None, score, "1", None, None, Picture(image, (1, 8), "AA==", ""), "AA==")


def test_extremes_come_first_then_the_first_image_of_every_trial():
    table = pd.DataFrame(
        {"dataset": "a", "severity": 1.0, "method": ["rrr", "rrr", "rrr", "rrr"], "data_seed": [1, 0, 1, 0]}
    )
    scores = np.full((4, 3), 0.5)
    scores[0, 2], scores[2, 1] = 0.9, 0.1
    tiles = [tile(trial, rank, scores[trial, rank]) for trial in range(4) for rank in range(3)]
    one, picture = len("AA==") + map_browser._OTHERS, tiles[0].picture.size

    def chosen(n):
        return {(t.trial, t.rank) for t in within(picture + n * one, tiles, table)}

    best_and_worst = {(0, 2), (2, 1)}
    assert chosen(2) == best_and_worst
    assert chosen(4) == best_and_worst | {(1, 0), (3, 0)}, "the first data seed first"
    assert chosen(6) == best_and_worst | {(trial, 0) for trial in range(4)}
    assert len(chosen(12)) == 12
    assert within(picture + 11 * one + one - 1, tiles, table) == [t for t in tiles if (t.trial, t.rank) != (2, 2)]


def test_distinct_images_take_room():
    table = pd.DataFrame({"dataset": "a", "severity": 1.0, "method": ["rrr"] * 2, "data_seed": 0})
    own = [tile(trial, 0, None, image=f"image {trial}") for trial in range(2)]
    room = 2 * (len("AA==") + map_browser._OTHERS) + own[0].picture.size
    assert len(within(room, own, table)) == 1
    assert len(within(room + own[1].picture.size, own, table)) == 2


def test_the_sentence_counts_what_is_left_out(sweep):
    result = answer(analysis.load_sweep(sweep, "looked-at"), replicates=100)
    everything = SECTION.compute(result)()
    whole = SECTION.sentence(result, lambda: everything)
    assert "has all 4 maps" in whole
    assert "1 trial kept no maps" in whole
    partial = SECTION.sentence(result, lambda: replace(everything, tiles=everything.tiles[:1]))
    assert "has 1 of the 4 maps" in partial
    assert "3 maps are left out to keep the page small, among them all maps of 1 trial." in partial


def test_the_page_has_each_picture_once(sweep):
    browser = browser_of(analysis.load_sweep(sweep, "looked-at"), Primary())
    data = json.loads(json.dumps(page_data(browser, Primary())))
    assert len(data["pictures"]) == 2
    columns = {name: data["tiles"][name] for name in ("picture", "correct", "label", "predicted", "score")}
    assert (data["classes"], list(columns.values())) == (
        ["1", "0"],
        [[0, 1, 0, 1], [1, 0, 1, 0], [0] * 4, [0, 1] * 2, [0.25, None, 0.25, None]],
    )


def test_a_large_page_has_the_trials_of_the_first_data_seeds(make_table, monkeypatch):
    monkeypatch.setattr(page_trials, "MOST", 9)
    table = make_table(seeds=3)  # 8 trials a data seed
    rows = page_trials.page_rows(table)
    assert rows.tolist() == sorted(rows)
    assert sorted(table["data_seed"].iloc[rows]) == [0] * 8 + [1]
    result = answer(table, replicates=100)
    data = page_trials.trials_data(result)
    assert (data["n"], data["n_all"]) == (9, 24)


def test_the_trials_of_the_page_can_be_read_back(make_table):
    table = make_table(seeds=2).assign(model="small_cnn", **{"hp.lr": [0.01, 0.001] * 8, "preset": None})
    table["hp.k"] = pd.array([1, None] * 8, dtype="Int64")
    table.loc[3, "test_id.auc"] = np.nan
    result = answer(table, replicates=100)
    data = json.loads(json.dumps(page_trials.trials_data(result), allow_nan=False))
    columns = {column["name"]: column for column in data["columns"]}

    def values(name):
        column = columns[name]
        return [column["levels"][i] for i in column["at"]] if "levels" in column else column["values"]

    shown = result.trials.table
    for name in ("trial_key", "method", "dataset"):
        assert values(name) == shown[name].tolist()
    for name in ("hp.lr", "severity", "test_ood.auc"):
        assert values(name) == pytest.approx(shown[name].tolist(), rel=1e-3)
    assert (values("test_id.auc")[3], values("hp.k")) == (None, [1, None] * 8)
    assert (columns["hp.lr"]["is_setting"], columns["test_ood.auc"]["is_setting"]) == (True, False)
    assert ["model", "small_cnn"] in data["common"]
    assert "preset" not in columns
