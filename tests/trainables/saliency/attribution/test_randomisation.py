"""The model-randomisation check: its two similarities against scipy and scikit-image, and which maps fail."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity

from trainables import resolve
from trainables.saliency.attribution import ATTRIBUTIONS
from trainables.saliency.attribution.randomisation import randomisation_check, rank_correlation, ssim
from trainables.trial.trial import Trial

RNG = np.random.default_rng(0)
FIRST, SECOND = (torch.from_numpy(np.round(RNG.random((3, 9, 9)), 1)) for _ in range(2))


def test_rank_correlation_is_spearmans_over_pixels_not_zero_in_both():
    result = rank_correlation(FIRST, SECOND)
    for i, (a, b) in enumerate(zip(FIRST.numpy(), SECOND.numpy(), strict=True)):
        used = (a != 0) | (b != 0)
        assert 60 < used.sum() < 82
        assert result[i].item() == pytest.approx(spearmanr(a[used], b[used]).statistic, abs=1e-6)
    assert rank_correlation(FIRST, FIRST * 3).tolist() == pytest.approx([1, 1, 1])
    black = torch.zeros(3, 9, 9, dtype=torch.float64)
    assert rank_correlation(FIRST, black).isnan().all()
    framed = [torch.nn.functional.pad(m, (9, 9, 9, 9)) for m in (FIRST, SECOND)]
    torch.testing.assert_close(rank_correlation(*framed), result, msg="black borders do not make maps alike")


def test_ssim():
    result = ssim(FIRST, SECOND * 7)
    a, b = FIRST[0].numpy(), SECOND[0].numpy()
    assert result[0].item() == pytest.approx(structural_similarity(a / a.max(), b / b.max(), data_range=1))
    assert ssim(FIRST, FIRST).tolist() == pytest.approx([1, 1, 1])
    assert ssim(FIRST, torch.zeros(3, 9, 9, dtype=torch.float64)).isnan().all()
    assert ssim(FIRST[:, :4, :4], SECOND[:, :4, :4]).isfinite().all()


@pytest.mark.parametrize(
    ("name", "others", "failed"),
    [
        ("input_gradient", FIRST, True),
        ("input_gradient", SECOND, False),
        ("input_gradient", torch.zeros(3, 9, 9, dtype=torch.float64), None),
        ("edge_detector", SECOND, True),
    ],
)
def test_which_attributions_fail(name, others, failed):
    result = randomisation_check(ATTRIBUTIONS[name](resolve({})), FIRST, others)
    assert result["failed"] is failed
    assert math.isnan(result["rank_correlation"]) == (failed is None)


def test_the_check_is_recorded_only_if_requested(quick):
    names = ("edge_detector", "input_gradient")
    config = quick(attributions=names, randomisation_check=True, epochs=1, n_train=32, batch_size=32)
    trial = Trial(config)
    trial.train_epoch()
    result = {c: v for c, v in trial.localise().scores.items() if c.startswith("randomisation.")}
    assert set(result) == {f"randomisation.{m}.{a}" for m in ("rank_correlation", "ssim", "failed") for a in names}
    assert result["randomisation.failed.edge_detector"] is True
    assert result["randomisation.rank_correlation.edge_detector"] == pytest.approx(1)
    assert -1 <= result["randomisation.rank_correlation.input_gradient"] < 0.9
    assert not any(c.startswith("randomisation.") for c in trial.localise(quick(attributions=names)).scores)
