"""The gallery and the browser show what a trial stored: the scored pixels, the scores and the answers."""

import base64
import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import analysis
import trainables
from analysis.sections.drawing import settings
from analysis.sections.kept_maps import displayed, reproduced, strongest
from analysis.sections.map_browser import browser_of
from analysis.sections.map_sheets import collect_maps
from analysis.sections.maps import _show
from analysis.trials.trials import Primary
from records import SweepRecords, open_storage
from trainables.saliency.localisation.blur import blur
from trainables.saliency.localisation.overlap import iou, predicted_region

SPLIT, SHOWN = "test_ood", 8
# Occlusion and Grad-CAM are not blurred before they are scored, and maps of occlusion are full of ties.
ATTRIBUTIONS = ("grad_cam", "input_gradient", "occlusion")
ADDED_LATER = (".region.", ".predicted")


@pytest.fixture(scope="module")
def finished():
    """A trial whose answers are made to alternate, so that the first is wrong and the second right."""
    sizes = {"n_train": 64, "n_valid": 32, "n_test": 64, "attribution_images": 10}
    trial = trainables.run_trial(severity=1.0, epochs=2, lr=3e-3, attributions=ATTRIBUTIONS, **sizes)
    predicted = np.arange(10) % 2
    answers = {f"{SPLIT}.scored.predicted": predicted, f"{SPLIT}.scored.correct": predicted == 1}
    return replace(trial, maps={**trial.maps, **answers, "class_names": np.array(["healthy", "sick"])})


def stored(finished, folder, without=()):
    records = SweepRecords(open_storage(folder), "one")
    buffer = io.BytesIO()
    np.savez(buffer, **{name: v for name, v in finished.maps.items() if not any(word in name for word in without)})
    records.write({**finished.record, "sweep": "one"})
    records.write_artifact(finished.record["trial_key"], "maps.npz", buffer.getvalue())
    return analysis.load_sweep(folder, "one")


def drawn_in(tile):
    shape = tile.picture.shape
    return np.unpackbits(np.frombuffer(base64.b64decode(tile.map), np.uint8))[: shape[0] * shape[1]].reshape(shape) == 1


@pytest.mark.parametrize("attribution", ATTRIBUTIONS)
@pytest.mark.parametrize("without", [(), ADDED_LATER], ids=["new", "older"])
def test_pixels_best_and_worst_and_answers_are_those_of_the_trial(attribution, without, finished, tmp_path):
    trials, primary = stored(finished, tmp_path, without), Primary(attribution=attribution)
    ((sheet,), missing), browser = collect_maps(trials, primary), browser_of(trials, primary)
    assert missing == []
    arrays = finished.maps
    scores, masks = arrays[f"{SPLIT}.scored.iou.{attribution}"][:SHOWN], arrays[f"{SPLIT}.masks"]
    (examples,), (maps,) = sheet.examples.values(), sheet.together.values()
    for shown, several in (
        (np.stack([kept.region for kept in examples]), np.stack([kept.mask for kept in examples])),
        (np.stack([drawn_in(tile) for tile in browser.tiles]), masks),
    ):
        overlap = (shown & several).sum(axis=(1, 2)) / (shown | several).sum(axis=(1, 2))
        known = ~np.isnan(scores[: len(shown)])
        assert overlap[known] == pytest.approx(scores[: len(shown)][known], abs=1e-6)
    for case, at in ((maps.best, np.nanargmax(scores)), (maps.worst, np.nanargmin(scores))):
        assert case.score == pytest.approx(scores[at])
        overlap = (case.region & case.mask).sum() / (case.region | case.mask).sum()
        assert overlap == pytest.approx(scores[at], abs=1e-6)
    assert (maps.best.image == displayed(arrays[f"{SPLIT}.images"])[np.nanargmax(scores)]).all()
    wrong, right = ("✗ wrong", "✓ right") if without else ("✗ predicted healthy", "✓ predicted sick")
    assert [kept.answer for kept in examples] == [wrong, right] * (len(examples) // 2)
    assert {kept.label for kept in examples} == {"sick"}
    wrong, right = (None, None) if without else ("healthy", "sick")
    expected = [("sick", wrong, False), ("sick", right, True)] * (SHOWN // 2)
    assert [(tile.label, tile.predicted, tile.correct) for tile in browser.tiles] == expected


def test_pixels_that_are_not_known_are_not_drawn(finished, tmp_path):
    trials = stored(finished, tmp_path, (*ADDED_LATER, ".scored.iou"))
    (sheet,), missing = collect_maps(trials, Primary(attribution="occlusion"))
    (examples,), (maps,) = sheet.examples.values(), sheet.together.values()
    assert ({kept.region for kept in examples}, maps.best, maps.worst) == ({None}, None, None)
    assert [what for what, _ in missing] == [
        f"the scored pixels in the maps of {sheet.dataset}",
        f"the best and the worst map of {sheet.dataset}",
    ]
    assert {tile.map for tile in browser_of(trials, Primary(attribution="occlusion")).tiles} == {""}


def test_the_pixels_are_chosen_by_the_rule_of_the_trial():
    rng = np.random.default_rng(0)
    maps = np.maximum(rng.integers(-3, 9, size=(40, 6, 6)), 0).astype(float)  # many ties, and zeros
    masks = rng.uniform(size=maps.shape) < np.linspace(0.05, 1, 40)[:, None, None]
    expected = predicted_region(torch.from_numpy(maps), torch.from_numpy(masks)).numpy()
    np.testing.assert_array_equal(strongest(maps, masks.sum(axis=(1, 2))), expected)
    assert strongest(np.array([[[4.0, 3.0], [3.0, 1.0]]]), np.array([2])).tolist() == [[[True, False], [False, False]]]


@pytest.mark.parametrize("sigma", [0.0, 1.0, 3.0])
def test_an_older_trials_blur_is_found_from_its_scores(sigma):
    maps = torch.from_numpy(np.random.default_rng(1).exponential(size=(6, 28, 28)))
    masks = torch.zeros(6, 28, 28, dtype=torch.bool)
    masks[:, 8:16, 8:16] = True
    scored = blur(maps, sigma)
    found = reproduced(maps.numpy(), masks.numpy(), iou(scored, masks).numpy())
    if sigma == 3:
        assert set(found) == {None}
    else:
        np.testing.assert_array_equal(found, predicted_region(scored, masks).numpy())


@pytest.mark.parametrize("colour", [(1, 0, 0), (0.8, 0.2, 0.2), (1, 1, 1), (0, 0, 0), 0.5])
def test_scored_pixels_are_seen_on_any_image(colour):
    """Red objects included: a scored pixel is clearly redder than its neighbours."""
    image, nowhere = np.ones((4, 4, 3)) * colour, np.zeros((4, 4), dtype=bool)
    scored = nowhere.copy()
    scored[:, 2:] = True
    with settings():
        figure = Figure((4, 4))
        axes = figure.add_axes((0, 0, 1, 1))
        shown = image if isinstance(colour, tuple) else image[..., 0]
        _show(axes, SimpleNamespace(image=shown, mask=nowhere, distractor=nowhere, region=scored))
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba()).astype(int)
    middle, width = len(pixels) // 2, pixels.shape[1]
    below, above = (pixels[middle, width * part // 8] for part in (2, 6))
    assert (above[0] - above[1]) - (below[0] - below[1]) > 80
