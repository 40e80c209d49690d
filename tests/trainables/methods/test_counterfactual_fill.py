"""Counterfactual fill: the pixels that fill each region, and the two cross-entropies of a linear model."""

import numpy as np
import pytest
import torch
from scipy.ndimage import find_objects
from scipy.special import logsumexp, softmax

from trainables.methods.counterfactual_fill import (
    fill_background,
    fill_foreground,
    not_label_entropy,
    outside_boxes,
)


def entropies(logits: np.ndarray, labels: np.ndarray, of_label: bool) -> np.ndarray:
    """−log p_y or −log(1 − p_y) of each image."""
    if of_label:
        return logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]
    return -np.log(1 - softmax(logits, axis=1)[np.arange(len(labels)), labels])


@pytest.mark.parametrize("fill", ["shuffle", "random", "mean"])
def test_regions_are_filled_from_the_right_pixels(make_batch, fill):
    batch = make_batch(n=2, channels=2, side=8)
    images, outside = batch.images, ~batch.masks
    factual = fill_background(images, outside, batch.rng, fill)
    counterfactual = fill_foreground(images, outside, batch.rng, fill)
    for i, out in enumerate(outside[:, 0]):
        background = images[i][:, out]
        assert torch.equal(factual[i][:, ~out], images[i][:, ~out])
        assert torch.equal(counterfactual[i][:, out], background)
        if fill == "mean":
            expected = background.mean(dim=1, keepdim=True)
            torch.testing.assert_close(factual[i][:, out], expected.expand_as(background))
            torch.testing.assert_close(counterfactual[i][:, ~out], expected.expand(-1, int((~out).sum())))
        elif fill == "random":
            for values in (factual[i][:, out], counterfactual[i][:, ~out]):
                assert (values >= images[i].amin(dim=(1, 2))[:, None]).all()
                assert (values <= images[i].amax(dim=(1, 2))[:, None]).all()
        else:
            pixels = {tuple(p) for p in background.T.tolist()}
            assert sorted(factual[i][:, out].T.tolist()) == sorted(background.T.tolist())
            assert {tuple(p) for p in counterfactual[i][:, ~out].T.tolist()} <= pixels


@pytest.mark.parametrize("regions", ["both", "background", "foreground"])
@pytest.mark.parametrize("policy", ["skip", "outside", "inside"])
def test_linear_model(linear_net, make_batch, new_method, regions, policy):
    model, batch = linear_net(classes=3), make_batch(n=3, classes=3, masked=2)
    method = new_method("counterfactual_fill", strength=1, fill_regions=regions, empty_mask=policy)
    loss = method.loss(model, batch)
    weight, labels = model.head.weight.detach().numpy(), batch.labels.numpy()
    plain, *altered = (seen.flatten(1).numpy() @ weight.T for seen in model.calls)
    expected = 0.0
    if regions != "foreground":
        entropy = entropies(altered.pop(0), labels, of_label=True)
        expected += entropy[:2].mean() if policy == "skip" else entropy.mean()
    if regions != "background":
        expected += entropies(altered.pop(0), labels, of_label=False)[:2].mean()
    np.testing.assert_allclose(loss.penalty.item(), expected, rtol=1e-9)
    np.testing.assert_allclose(loss.classification.item(), entropies(plain, labels, True).mean(), rtol=1e-9)


def test_under_paper_the_foreground_that_is_filled_is_a_rectangle(linear_net, make_batch, new_method):
    model, batch = linear_net(classes=3), make_batch(n=4, classes=3, masked=3)
    method = new_method("counterfactual_fill", strength=1, preset="paper", empty_mask="skip", fill_with="mean")
    loss = method.loss(model, batch)
    _, factual, counterfactual = (seen[:3, 0].numpy() for seen in model.calls)
    images, masks = batch.images[:3, 0].numpy(), batch.masks[:3, 0].numpy()
    for i in range(3):
        (box,) = find_objects(masks[i].astype(int))
        rectangle = np.zeros_like(masks[i])
        rectangle[box] = True
        assert rectangle.sum() > masks[i].sum()
        expected = np.where(rectangle, images[i][~rectangle].mean() if not rectangle.all() else 0, images[i])
        np.testing.assert_allclose(counterfactual[i], expected, rtol=1e-12)
        np.testing.assert_allclose(factual[i], np.where(masks[i], images[i], images[i][~masks[i]].mean()), rtol=1e-12)
    assert np.isfinite(loss.penalty.item())


def test_outside_boxes_of_no_mask_and_of_a_whole_one():
    outside = torch.tensor([True, False])[:, None, None, None].expand(2, 1, 3, 4)
    assert torch.equal(outside_boxes(outside), outside)


def test_the_answer_not_y_is_exact_where_y_is_certain():
    logits = torch.tensor([[60.0, 0.0, 0.0]], dtype=torch.float64)
    np.testing.assert_allclose(not_label_entropy(logits, torch.tensor([0])).item(), 60 - np.log(2), rtol=1e-12)
