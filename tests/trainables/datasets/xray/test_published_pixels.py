"""The published pixel values, their effect on penalties, and everything that shows or changes pixels."""

import numpy as np
import pytest
import torch
from support import own_images
from torch import nn

from search_spaces.published import SETTINGS
from trainables import resolve
from trainables.core.batch import Batch, Output
from trainables.core.errors import ConfigurationError
from trainables.datasets.own.table import Row
from trainables.datasets.xray.xray import Xray, XrayOptions
from trainables.models import Classifier
from trainables.saliency.attribution import ATTRIBUTIONS
from trainables.saliency.faithfulness import FAITHFULNESS, Explained
from trainables.trial.explain import scored_images

SIDE, PER_CELL = 12, 24
CELLS = [(group, label) for group in ("NIH", "PadChest") for label in ("healthy", "sick")]
ROWS = [
    Row(where="here", image=f"{group}_{label}_{i:02}", label=label, group=group, subject=f"{label}{i}", ellipse=2.5)
    for group, label in CELLS
    for i in range(PER_CELL)
]


class Tiny(Xray):
    """A set like xray_site without its tables: 8 bits in one hospital, 16 in the other."""

    needs = "images"

    @classmethod
    def candidates(cls, options):
        return ROWS

    @classmethod
    def folders(cls):
        return {"NIH": ("",), "PadChest": ("",)}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The folder, and the stored value of each pixel as a share of the greatest, in double precision."""
    root, rng, shares = tmp_path_factory.mktemp("xrays"), np.random.default_rng(0), []
    for row in ROWS:
        kind, top = (np.uint8, 255) if row.group == "NIH" else (np.uint16, 65535)
        values = rng.integers(0, top, (SIDE, SIDE), dtype=kind, endpoint=True)
        (root / f"{row.image}.png").write_bytes(own_images.png_bytes(values))
        shares.append(values / np.float64(top))
    return root, np.stack(shares)


@pytest.fixture(scope="module")
def opened(stored):
    """opened(pixels, severity): the dataset under the published split."""

    def build(pixels: str, severity: float = 0.8) -> Tiny:
        names = {"class_names": "healthy,sick", "cue_groups": "NIH=healthy,PadChest=sick"}
        options = XrayOptions(root=str(stored[0]), image_size=SIDE, split_by="published", pixels=pixels, **names)
        return Tiny(options, severity, data_seed=3)

    return build


@pytest.mark.usefixtures("held")
def test_values_of_both_ranges(opened, stored):
    """2 v / 255 − 1 (or 65535) times 1024, for each pixel of every split."""
    unit, published = opened("unit"), opened("published")
    order, index = {row.image: i for i, row in enumerate(ROWS)}, published.index()
    # Once, as it reads and hashes every file.
    decoded = published.decoded().rows
    for name, split in published.splits().items():
        rows = [order[decoded[i].image.removesuffix(".png")] for i in index[name]]
        shares = stored[1][rows]
        images = split.images[:]
        np.testing.assert_allclose(images[:, 0], (2 * shares - 1) * 1024, rtol=0, atol=2e-4)
        np.testing.assert_allclose(split.displayed(images)[:, 0], shares, rtol=0, atol=1e-6)
        assert split.limits == (-1024, 1024)
        assert split.displayed(torch.zeros(1)) == 0.5, "a pixel set to zero is mid-grey"
        same = unit.splits()[name]
        images = same.images[:]
        assert same.limits == (0, 1)
        np.testing.assert_allclose(images[:, 0], shares, rtol=0, atol=1e-7)
        assert torch.equal(same.displayed(images), images)


class AffineNet(Classifier):
    """f = W x + b in double precision."""

    def __init__(self, weight: np.ndarray, bias: np.ndarray):
        nn.Module.__init__(self)
        self.head = nn.Linear(*weight.T.shape).double()
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(weight))
            self.head.bias.copy_(torch.from_numpy(bias))

    def forward(self, images: torch.Tensor) -> Output:
        return Output(self.head(images.flatten(1)), images.flatten(1))


@pytest.mark.parametrize(("name", "factor"), [("gradmask", 2048.0), ("rrr", 2048.0**2)])
def test_penalties_of_published_strengths_follow_the_formula_in_both_ranges(name, factor, opened, new_method):
    """The same function of the images in both ranges, f(x) = W x + b of [0, 1]; its penalties from W in closed form."""
    rng = np.random.default_rng(1)
    weight, bias = rng.normal(size=(2, SIDE**2)), rng.normal(size=2)
    models = {"unit": AffineNet(weight, bias), "published": AffineNet(weight / 2048, bias + weight.sum(axis=1) / 2)}
    strength = SETTINGS["xray_site", 0.8][name]["strength"]
    terms, losses = {}, {}
    for pixels, weighed in (("unit", strength / factor), ("published", strength)):
        split = opened(pixels).splits()["train"]
        batch = Batch(split.images[:].double(), split.labels, split.masks[:], torch.Generator())
        method = new_method(name, SIDE**2, preset="paper", strength=weighed)
        loss = method.loss(models[pixels], batch)
        terms[pixels], losses[pixels] = loss.penalty.item(), loss.classification + method.weight * loss.penalty

    x = opened("unit").splits()["train"].images[:].flatten(1).double().numpy()
    outside = ~split.masks[:].flatten(1).numpy()
    logits = x @ weight.T + bias
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    if name == "gradmask":  # |d (f_0 − f_1) / dx| is |W_0 − W_1| in every image
        expected = (np.abs(weight[0] - weight[1]) * outside).sum()
    else:  # d sum_k log(p_k + 1e-11) / dx = sum_k p_k / (p_k + 1e-11) (W_k − sum_j p_j W_j)
        shares = p / (p + 1e-11)
        slopes = shares @ weight - shares.sum(axis=1, keepdims=True) * (p @ weight)
        expected = np.square(slopes * outside).sum()
    assert terms["unit"] == pytest.approx(expected, rel=1e-4)
    assert terms["published"] == pytest.approx(expected / factor, rel=1e-4)
    entropy = -np.log(p[np.arange(len(p)), split.labels.numpy()]).mean()
    assert losses["published"].item() == pytest.approx(entropy + strength * expected / factor, rel=1e-4)
    assert losses["unit"].item() == pytest.approx(losses["published"].item(), rel=1e-4)


@pytest.mark.usefixtures("held")
def test_maps_are_scored_on_as_many_images_of_each_group(opened):
    """Of 24 images a cell at r = 0.9, the test set has 12 sick ones of one hospital and 2 of the other."""
    dataset = opened("published")
    split, rows = dataset.splits()["test_ood"], dataset.decoded().rows
    sick = split.cues[split.labels == 1]
    assert torch.bincount(sick).tolist() == [12, 2]
    for most, expected in ((2, [1, 1]), (4, [2, 2]), (6, [4, 2]), (50, [12, 2])):
        index = scored_images(split, 2, most)
        assert torch.bincount(split.cues[index], minlength=2).tolist() == expected
    names = [rows[i].image for i in dataset.index()["test_ood"]]
    for group, label in CELLS:
        of_cell = [name for name in names if name.startswith(f"{group}_{label}")]
        assert of_cell == sorted(of_cell), "the first of a cell are the first of its table"


class InUnits(Classifier):
    """A model of [0, 1] that takes images in [-1024, 1024]."""

    def __init__(self, model: Classifier):
        nn.Module.__init__(self)
        self.trunk, self.pool, self.head = model.trunk, model.pool, model.head

    def forward(self, images: torch.Tensor) -> Output:
        return self.read(self.trunk((images + 1024) / 2048))


def test_noise_of_faithfulness_follows_the_range(smooth_net):
    """The relative change of an input gradient does not depend on the units of the image."""
    model = smooth_net(1, 2).eval()
    images = torch.rand(4, 1, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    attribution, targets, values = ATTRIBUTIONS["input_gradient"](resolve({})), torch.tensor([0, 1, 0, 1]), []
    for this, x, span in ((model, images, 1.0), (InUnits(model).eval(), 2048 * images - 1024, 2048.0)):
        explained = Explained(this, attribution, x, targets, attribution.maps(this, x, targets), seed=5, span=span)
        values.append(FAITHFULNESS["sensitivity_max"](explained))
    torch.testing.assert_close(*values)


@pytest.mark.parametrize(
    ("method", "setting", "example"),
    [("corm", "corm_noise", 1024), ("pgd_ex", "pgd_epsilon", 614.4), ("ibp_ex", "ibp_epsilon", 20.48)],
)
def test_a_default_in_units_of_the_usual_range_is_refused(method, setting, example):
    settings = {"dataset": "xray_site", "content": "0", "method": method, "strength": 1.0}
    resolve(settings)
    with pytest.raises(ConfigurationError, match=rf"^{setting} .* in \[-1024, 1024\]; set .*{setting}={example}, or"):
        resolve({**settings, "pixels": "published"})
    assert resolve({**settings, "pixels": "published", setting: example}).method_options[setting] == example
