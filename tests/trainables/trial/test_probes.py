"""Probes: altered images against numpy, AUCs against scikit-learn, and models that look only inside or only outside."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from records import columns
from trainables.core.batch import Output
from trainables.core.streams import torch_stream
from trainables.datasets.dataset import Split
from trainables.models import Classifier
from trainables.trial.evaluate import altered, logits_of, others, probes
from trainables.trial.trial import Trial

N, SIDE = 400, 6


class Reads(Classifier):
    """The logit of class k is the sum over the pixels of row `row` + k."""

    def __init__(self, row: int, classes: int = 2):
        nn.Module.__init__(self)
        self.rows = slice(row, row + classes)
        self.unused = nn.Parameter(torch.zeros(1))
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Output:
        self.seen.append(images.clone())
        features = images.sum(dim=(1, 3))
        return Output(features[:, self.rows], features)


def make_split(classes: int = 2, n: int = N, seed: int = 0, unmasked: tuple[int, ...] = ()) -> Split:
    """Rows 0 to 2 are inside the masks, 3 to 5 outside, and in both the label's row is brighter."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    images = rng.random((n, 2, SIDE, SIDE))
    for row in (0, 3):
        images[np.arange(n), :, row + labels] += 0.12
    masks = np.zeros((n, 1, SIDE, SIDE), dtype=bool)
    masks[:, :, :3] = ~np.isin(labels, unmasked)[:, None, None, None]
    return Split(
        images=torch.from_numpy(images.astype(np.float32)),
        labels=torch.from_numpy(labels),
        masks=torch.from_numpy(masks),
        distractors=torch.zeros(masks.shape, dtype=torch.bool),
        cues=torch.from_numpy(labels),
    )


def auc(logits: np.ndarray, labels: np.ndarray) -> float:
    """Macro one-against-rest of the class's probability, by scikit-learn."""
    logits = logits.astype(np.float64)
    log_odds = [logits[:, k] - logsumexp(np.delete(logits, k, axis=1), axis=1) for k in range(logits.shape[1])]
    return float(np.mean([roc_auc_score(labels == k, log_odds[k]) for k in np.unique(labels)]))


def test_altered_images_by_hand():
    rng = np.random.default_rng(0)
    images, donors = (rng.random((5, 3, 4, 4)).astype(np.float32) for _ in range(2))
    masks = rng.random((5, 1, 4, 4)) < 0.4
    changed = altered(*map(torch.from_numpy, (images, masks, donors)), torch.Generator().manual_seed(0))
    assert tuple(changed) == columns.OUTSIDES
    for i, mask in enumerate(masks[:, 0]):
        for result in changed.values():
            np.testing.assert_array_equal(result[i].numpy()[:, mask], images[i][:, mask])
        assert (changed["zeroed"][i].numpy()[:, ~mask] == 0).all()
        np.testing.assert_array_equal(changed["swapped"][i].numpy()[:, ~mask], donors[i][:, ~mask])
        before, after = images[i][:, ~mask].T, changed["shuffled"][i].numpy()[:, ~mask].T
        assert sorted(before.tolist()) == sorted(after.tolist()), "the same pixels, with their channels together"
        assert not np.array_equal(before, after)


def test_each_image_has_one_donor_and_is_one_donor():
    index = torch.arange(10, 60, 2)
    donors = others(index, torch_stream("test", 0))
    assert sorted(donors.tolist()) == index.tolist()
    assert (donors != index).all()
    assert not torch.equal(donors, others(index, torch_stream("test", 1)))
    assert others(torch.tensor([3, 8]), torch_stream("test", 0)).tolist() == [8, 3]


@pytest.mark.parametrize("classes", [2, 3])
def test_the_aucs_are_scikit_learns(classes):
    split = make_split(classes)
    model = Reads(2, classes)  # rows on both sides of the edge
    scores = probes(model, split, 7, "fixed")
    assert tuple(scores) == columns.PROBES
    labels = split.labels.numpy()
    zeroed = split.images.masked_fill(~split.masks, 0)
    expected = auc(logits_of(model, zeroed).numpy(), labels)
    assert scores["test_id.auc_outside_zeroed"] == pytest.approx(expected, abs=1e-12)
    donors = others(torch.arange(N), torch_stream("probe donors", 7))
    swapped = np.where(split.masks.numpy(), split.images.numpy(), split.images.numpy()[donors])
    expected = auc(logits_of(model, torch.from_numpy(swapped)).numpy(), labels)
    assert scores["test_id.auc_outside_swapped"] == pytest.approx(expected, abs=1e-12)


def test_a_model_that_looks_outside_scores_half():
    split = make_split(n=4000)
    model = Reads(3)
    assert auc(logits_of(model, split.images).numpy(), split.labels.numpy()) > 0.7
    scores = probes(model, split, 0, "fixed")
    assert scores["test_id.auc_outside_zeroed"] == 0.5
    # Standard deviation of an AUC of 2,000 against 2,000 without a difference: sqrt(4001 / (12 * 2000 * 2000)) = 0.009.
    assert scores["test_id.auc_outside_swapped"] == pytest.approx(0.5, abs=0.03)
    assert scores["test_id.auc_outside_shuffled"] == pytest.approx(0.5, abs=0.03)


def test_models_of_a_data_seed_see_the_same_images():
    split = make_split()

    def seen(row: int, data_seed: int) -> Tensor:
        model = Reads(row)
        probes(model, split, data_seed, "fixed")
        return torch.cat(model.seen)

    torch.manual_seed(0)
    first = seen(0, 1)
    torch.manual_seed(1)
    assert torch.equal(first, seen(3, 1))
    assert not torch.equal(first, seen(0, 2))


@pytest.mark.parametrize(
    ("classes", "unmasked"), [(2, (0,)), (2, (1,)), (2, (0, 1)), (3, (0, 2))], ids=["1", "0", "none", "1 of 3"]
)
def test_fewer_than_two_classes_with_masks_have_no_probes(classes, unmasked):
    scores = probes(Reads(0, classes), make_split(classes, unmasked=unmasked), 0, "fixed")
    assert tuple(scores) == columns.PROBES
    assert all(math.isnan(value) for value in scores.values())


def test_only_images_with_a_mask_are_probed():
    split = make_split(3, unmasked=(1,))
    model = Reads(0, 3)
    masked = split.labels.numpy() != 1
    expected = auc(logits_of(model, split.images).numpy()[masked], split.labels.numpy()[masked])
    assert list(probes(model, split, 0, "fixed").values()) == pytest.approx([expected] * 3, abs=1e-12)


def test_a_trial_probes_its_id_test_images(quick):
    trial = Trial(quick(data_seed=3, seed=5, preset="paper", epochs=1))
    trial.train_epoch()
    scores = trial.evaluate()
    expected = probes(trial.model, trial.splits["test_id"], 3, "paper")
    assert {name: scores[name] for name in columns.PROBES} == expected
    assert len(set(expected.values())) == 3
