"""Trials: repeatable, resumable, and scored by the weights that selection chose."""

import copy
import io
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn.functional import cross_entropy

from records import columns
from trainables.core.batch import Output
from trainables.core.errors import DivergedError
from trainables.datasets.dataset import Split
from trainables.methods import METHODS, Method
from trainables.methods.costs import relative_cost
from trainables.models import MODELS
from trainables.saliency.attribution import ATTRIBUTIONS
from trainables.saliency.faithfulness import FAITHFULNESS
from trainables.saliency.localisation import LOCALISATION, TUNED, iou
from trainables.trial import trial as trial_module
from trainables.trial.evaluate import halves, logits_of
from trainables.trial.explain import scaled, scored_images
from trainables.trial.same_training import training_key
from trainables.trial.trial import Trial

SPLITS = ("train", "valid_id", "valid_ood", "test_id", "test_ood")
PENALTIES = [name for name in sorted(METHODS) if METHODS[name].has_penalty]
# On the large model the methods with a state of their own, and one that has none.
STATEFUL = [name for name in sorted(METHODS) if METHODS[name].state_dict is not Method.state_dict]
CHECKPOINTED = [(name, "small_cnn") for name in sorted(METHODS)]
CHECKPOINTED += [(name, model) for name in ("baseline", *STATEFUL) for model in sorted(MODELS) if model != "small_cnn"]
# Attribution does not know the method: the baseline's trials stand for all of them.
FEW_MAPS = {"attributions": ("input_gradient",), "attribution_images": 2}
SMALLEST = {"n_train": 16, "n_valid": 8, "n_test": 8, "batch_size": 8, **FEW_MAPS}


def settings(method: str, strength: float = 0.3, model: str = "small_cnn") -> dict:
    weight = {"strength": strength} if METHODS[method].has_penalty else {}
    maps = FEW_MAPS if method != "baseline" else {}
    return {"method": method, **weight, **METHODS[method].contract_settings(model), **maps}


def finish(trial: Trial) -> tuple[list[dict], dict, dict, dict]:
    """Per-epoch metrics, scores of the splits, localisation scores and arrays."""
    epochs = []
    while not trial.finished:
        epochs.append(trial.train_epoch())
    scores = trial.evaluate()
    localised = trial.localise()
    return epochs, scores, localised.scores, localised.arrays


def assert_same(first, second) -> None:
    """Equal bit for bit, NaN equal to NaN."""
    np.testing.assert_equal(second[:3], first[:3])
    assert first[3].keys() == second[3].keys()
    for name in first[3]:
        assert first[3][name].tobytes() == second[3][name].tobytes(), name


@pytest.fixture(scope="module")
def finished():
    """finished(config): results of an uninterrupted trial, each configuration run once."""
    cache: dict[str, tuple] = {}

    def run(config):
        if config.trial_key not in cache:
            cache[config.trial_key] = finish(Trial(config))
        return cache[config.trial_key]

    return run


# A method that differentiates three times takes seconds.
BY_COST = [
    pytest.param(name, marks=[pytest.mark.slow] if relative_cost(name, "small_cnn") > 8 else [])
    for name in sorted(METHODS)
]


@pytest.mark.parametrize("method", BY_COST)
def test_one_configuration_gives_one_result(quick, finished, method):
    config = quick(**settings(method))
    first = finished(config)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    assert_same(first, finish(Trial(config)))
    assert all(math.isfinite(value) for epoch in first[0] for value in epoch.values())


@pytest.mark.parametrize("method", BY_COST)
def test_other_seeds_give_other_results(quick, finished, method):
    first = finished(quick(**settings(method)))
    for seeds in ({"seed": 1}, {"data_seed": 1}):
        other = finished(quick(**settings(method), **seeds))
        assert first[0] != other[0]
        assert all(first[1][f"{split}.loss"] != other[1][f"{split}.loss"] for split in SPLITS)


def test_methods_share_images_initial_weights_and_order(quick):
    trials = [Trial(quick(**settings(method))) for method in sorted(METHODS)]
    for trial in trials[1:]:
        assert trial.splits is trials[0].splits
        assert torch.equal(trial.model.head.weight, trials[0].model.head.weight)
        assert torch.equal(trial.order_rng.get_state(), trials[0].order_rng.get_state())


@pytest.mark.parametrize("preset", ["fixed", "paper"])
@pytest.mark.parametrize("method", PENALTIES)
def test_strength_zero_is_the_baseline_bit_for_bit(quick, finished, method, preset):
    baseline = finished(quick(method="baseline", **FEW_MAPS, preset=preset))
    assert_same(baseline, finished(quick(**settings(method, strength=0), preset=preset)))


@pytest.mark.parametrize("method", [m for m in sorted(METHODS) if m != "baseline"])
def test_other_methods_differ_from_the_baseline(quick, finished, method):
    assert finished(quick(method="baseline"))[1] != finished(quick(**settings(method)))[1]


@pytest.mark.parametrize("preset", ["fixed", "paper"])
@pytest.mark.parametrize("method", PENALTIES)
def test_strength_matters_except_for_actdiff_of_the_paper(quick, finished, method, preset):
    weak, strong = (finished(quick(**settings(method, strength), preset=preset)) for strength in (0.3, 2.0))
    if (method, preset) == ("actdiff", "paper"):
        assert_same(weak, strong)
    else:
        assert weak[1] != strong[1]


@pytest.mark.parametrize(("method", "model"), CHECKPOINTED)
def test_resumed_training_equals_uninterrupted_training(quick, finished, method, model):
    epochs = 2 if model == "resnet18" else 4
    config = quick(**{**SMALLEST, **settings(method, model=model), "model": model, "epochs": epochs})
    first = Trial(config)
    before = [first.train_epoch() for _ in range(epochs // 2)]
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    for _ in range(epochs - epochs // 2):
        first.train_epoch()  # what the old process did after saving must not matter
    second = Trial(config)
    second.load_state_dict(torch.load(file, weights_only=True))
    after = finish(second)
    assert_same(finished(config), (before + after[0], *after[1:]))


def test_a_checkpoint_of_another_configuration_is_refused(quick):
    first, second = Trial(quick(seed=1)), Trial(quick(seed=2))
    with pytest.raises(ValueError) as caught:
        second.load_state_dict(first.state_dict())
    for piece in (training_key(first.config), training_key(second.config), "only continues the configuration"):
        assert piece in str(caught.value)


# Losses of the two validation splits by epoch; with a warm-up of 2 the first candidate is epoch 2.
VALID_ID = [0.1, 0.9, 0.5, 0.3, 0.3, 0.4]
VALID_OOD = [0.2, 0.1, 0.6, 0.7, 0.8, 0.5]


@pytest.mark.parametrize(
    ("selection", "warmup", "best", "why"),
    [
        ("last", 2, 5, "the last epoch whatever its loss"),
        ("best_valid_id", 2, 3, "lowest from epoch 2 on, the first of two equal ones"),
        ("best_valid_id", 0, 0, "lowest of all"),
        ("best_valid_ood", 2, 5, "lowest from epoch 2 on"),
        ("best_valid_ood", 0, 1, "lowest of all"),
        ("best_valid_id", 9, 5, "the trial is shorter than the warm-up"),
        ("best_valid_ood", 4, 5, "lowest of the last two"),
    ],
)
def test_selection(quick, monkeypatch, selection, warmup, best, why):
    trial = Trial(quick(**{**SMALLEST, "epochs": 6, "selection": selection, "selection_warmup": warmup}))
    losses = {"valid_id": VALID_ID, "valid_ood": VALID_OOD}
    weights = []
    with monkeypatch.context() as patch:
        patch.setattr(trial_module, "split_performance", lambda name, *_: {f"{name}.loss": losses[name][trial.epoch]})
        while not trial.finished:
            trial.train_epoch()
            weights.append(copy.deepcopy(trial.model.state_dict()))
    assert trial.selected().epoch == best, why
    trial.evaluate()
    for name, value in trial.model.state_dict().items():
        assert torch.equal(value, weights[best][name]), name
    distinct = {state["head.weight"].numpy().tobytes() for state in weights}
    assert len(distinct) == 6


@pytest.mark.parametrize(("warmup", "batches"), [(0, [4, 4, 1, 1, 1, 1]), (2, [1, 1, 4, 1, 1, 4]), (9, [1] * 5 + [4])])
def test_methods_are_passed_the_papers_number_of_evaluation_batches(quick, monkeypatch, warmup, batches):
    """A validation batch, and three of test images where the loss is lower than in all candidates before."""
    trial = Trial(quick(**{**SMALLEST, "n_test": 20, "epochs": 6, "selection": "last", "selection_warmup": warmup}))
    losses = {"valid_id": VALID_ID, "valid_ood": [0.2, 0.1, 0.6, 0.6, 0.8, 0.5]}
    counts: list[int] = []
    monkeypatch.setattr(trial_module, "split_performance", lambda name, *_: {f"{name}.loss": losses[name][trial.epoch]})
    monkeypatch.setattr(trial.method, "end_epoch", counts.append)
    while not trial.finished:
        trial.train_epoch()
    assert counts == batches


@pytest.mark.parametrize("method", sorted(METHODS))
def test_scores_are_those_of_the_model_on_the_images_as_they_are(quick, method):
    """Validation and test images are neither masked nor shuffled, and the model is in evaluation mode."""
    trial = Trial(quick(**settings(method)))
    epochs, scores, _, _ = finish(trial)
    trial.model.eval()
    for name in SPLITS:
        split = trial.splits[name]
        with torch.no_grad():
            logits = trial.model(split.images).logits.double()
        assert scores[f"{name}.loss"] == pytest.approx(cross_entropy(logits, split.labels).item(), rel=1e-6)
        hits = (logits.argmax(dim=1) == split.labels).double().mean().item()
        assert scores[f"{name}.accuracy"] == pytest.approx(hits)
    best = epochs[trial.selected().epoch]
    assert all(scores[name] == value for name, value in best.items() if not name.startswith("train."))
    whole = {f"{split}.{measure}" for split in SPLITS for measure in ("auc", "accuracy", "loss")}
    in_halves = {f"{name}.half_{i}" for name in whole if name.startswith("test_") for i in (1, 2)}
    probed = {f"test_id.auc_outside_{outside}" for outside in ("zeroed", "shuffled", "swapped")}
    assert set(scores) == {*whole, *in_halves, *probed, *(f"{name}.n" for name in SPLITS), "collapsed"}
    assert [scores[f"{name}.n"] for name in SPLITS] == [64, 32, 32, 64, 64]


def test_halves_are_random_fixed_and_complementary(quick):
    first, second = halves(101).values()
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(101))
    assert (len(first), len(second)) == (50, 51)
    assert 10 < sum(first < 50) < 40, "not the first half of the file, whose images are sorted by class"
    trial = Trial(quick(n_test=40, attribution_images=6))
    _, scores, localisation, _ = finish(trial)
    for name in ("test_id", "test_ood"):
        split, index = trial.splits[name], halves(40)
        with torch.no_grad():
            margin = trial.model(split.images).logits.double().diff(dim=1)[:, 0]
        for which in (1, 2):
            ranked, labels = margin[index[which]], split.labels[index[which]]
            pairs = (ranked[labels == 1][:, None] - ranked[labels == 0][None]).sign()
            assert scores[f"{name}.auc.half_{which}"] == pytest.approx(((pairs + 1) / 2).mean().item())
        mean = sum(scores[f"{name}.accuracy.half_{which}"] for which in (1, 2)) / 2
        assert mean == pytest.approx(scores[f"{name}.accuracy"])
        for column in (f"{name}.{m}.{a}" for m in trial.config.metrics for a in trial.config.attributions):
            parts = [localisation[f"{column}.half_{which}"] for which in (1, 2)]
            assert sum(parts) / 2 == pytest.approx(localisation[column], abs=1e-6)


def test_a_constant_model_has_collapsed(quick):
    trial = Trial(quick())
    trial.train_epoch()
    assert trial.evaluate()["collapsed"] is False
    for name, weight in trial.selected().weights.items():
        if "head" in name and weight.ndim == 2:
            weight.zero_()
    scores = trial.evaluate()
    assert scores["collapsed"] is True
    assert scores["test_ood.auc"] == 0.5


def test_training_reports_means_over_images(quick):
    # 20 images in batches of 8, 8 and 4.
    trial = Trial(quick(method="gradmask", strength=0.5, n_train=20, batch_size=8))
    seen = []
    original = trial.method.loss

    def watched(model, batch):
        loss = original(model, batch)
        seen.append((len(batch.labels), loss.classification.item(), loss.penalty.item()))
        return loss

    trial.method.loss = watched
    metrics = trial.train_epoch()
    assert [n for n, _, _ in seen] == [8, 8, 4]
    assert metrics["train.loss"] == pytest.approx(sum(n * loss for n, loss, _ in seen) / 20)
    assert metrics["train.penalty"] == pytest.approx(sum(n * penalty for n, _, penalty in seen) / 20)
    assert trial.model_steps == 3


def test_every_image_is_trained_on_once_an_epoch_in_a_new_order(quick):
    trial = Trial(quick())
    orders = []
    for _ in range(2):
        orders.append(torch.cat([batch.images for batch in trial.batches()]).flatten(1))
    expected = sorted(map(tuple, trial.splits["train"].images.flatten(1).tolist()))
    for order in orders:
        assert sorted(map(tuple, order.tolist())) == expected
    assert not torch.equal(*orders)


def test_a_methods_random_numbers_differ_between_epochs_and_seeds(quick):
    def draws(seed: int) -> list[list[float]]:
        trial = Trial(quick(method="shuffled", seed=seed))
        result = []
        for _ in range(2):
            result.append(torch.rand(4, generator=next(iter(trial.batches())).rng).tolist())
            trial.epoch += 1
        return result

    first, again, other = draws(0), draws(0), draws(1)
    assert first == again
    assert first[0] != first[1], "each epoch draws anew"
    assert all(a != b for a, b in zip(first, other, strict=True)), "the seed matters"


def test_the_model_is_updated_by_adam_on_the_weighted_sum(quick):
    """One epoch of one batch, followed by hand."""
    trial = Trial(quick(method="rrr", strength=0.7, n_train=16, batch_size=16, epochs=1, lr=1e-2))
    twin = copy.deepcopy(trial.model)
    batch = next(iter(Trial(trial.config).batches()))
    optimizer = torch.optim.Adam(twin.parameters(), lr=1e-2)
    loss = METHODS["rrr"](trial.config, 64).loss(twin.train(), batch)
    (loss.classification + 0.7 * loss.penalty).backward()
    optimizer.step()
    trial.train_epoch()
    for parameter, expected in zip(trial.model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_training_in_bfloat16_is_close_and_scored_in_float32(quick, method):
    """bfloat16 has 8 bits: a loss of an untrained model is that of float32 to about a hundredth."""
    first, weights = {}, {}
    for precision in ("float32", "bfloat16"):
        trial = Trial(quick(**settings(method), n_train=16, batch_size=16, epochs=2, precision=precision))
        first[precision] = trial.train_epoch()
        weights[precision] = trial.model.trunk[0].weight
        assert {p.dtype for p in trial.model.parameters()} == {torch.float32}
        assert logits_of(trial.model, trial.splits["test_ood"].images).dtype == torch.float32
    half, single = first["bfloat16"], first["float32"]
    assert half["train.loss"] == pytest.approx(single["train.loss"], rel=0.03)
    assert half["train.penalty"] == pytest.approx(single["train.penalty"], rel=0.1, abs=1e-3)
    assert not torch.equal(weights["bfloat16"], weights["float32"])


def test_mask_dilation_applies_only_to_training(quick):
    plain, dilated = (Trial(quick(mask_dilation=pixels)) for pixels in (0, 2))
    assert torch.equal(plain.train_masks, plain.splits["train"].masks)
    assert dilated.train_masks.sum() > 2 * plain.train_masks.sum()
    assert all(torch.equal(dilated.splits[name].masks, plain.splits[name].masks) for name in SPLITS)
    masks = torch.cat([batch.masks for batch in dilated.batches()])
    assert masks.sum() == dilated.train_masks.sum()


def blurred(maps: torch.Tensor) -> torch.Tensor:
    """The paper's blur, by scipy in double precision."""
    filtered = [gaussian_filter(m.astype(np.float64), 1.0, mode="constant", truncate=3.5) for m in maps.numpy()]
    return torch.from_numpy(np.stack(filtered))


def test_localisation_scores_recomputed(quick):
    """Class 1 images in order, maps of logit 1, blurred as the attribution says, scored on undilated masks."""
    trial = Trial(quick(mask_dilation=3, n_test=40, attribution_images=6))
    _, _, scores, arrays = finish(trial)
    model = trial.model.eval()
    for name in ("test_id", "test_ood"):
        split = trial.splits[name]
        index = torch.arange(20, 26)  # the second half of the file is class 1
        assert (split.labels[index] == 1).all()
        masks, targets = split.masks[index, 0], torch.ones(6, dtype=torch.int64)
        for attribution in trial.config.attributions:
            maps = ATTRIBUTIONS[attribution](trial.config).maps(model, split.images[index], targets)
            if attribution != "occlusion":
                maps = blurred(maps)
            expected = iou(maps, masks).nanmean().item()
            assert scores[f"{name}.iou.{attribution}"] == pytest.approx(expected, abs=1e-6)
        area = masks.flatten(1).double().mean(dim=1)
        assert scores[f"{name}.chance_iou"] == pytest.approx((area / (2 - area)).mean().item(), rel=1e-5)
        np.testing.assert_array_equal(arrays[f"{name}.images"], split.images[index].numpy().astype(np.float16))
        np.testing.assert_array_equal(arrays[f"{name}.masks"], masks.numpy())
        np.testing.assert_array_equal(arrays[f"{name}.distractors"], split.distractors[index, 0].numpy())
    assert arrays["labels"].tolist() == [1] * 6


def test_all_metrics_and_faithfulness_are_recorded(quick):
    """Distractor and tuned metrics see the right masks; faithfulness is in columns that are no localisation."""
    metrics = tuple(sorted({**LOCALISATION, **TUNED}))
    attributions = ("input_gradient", "grad_cam")
    config = quick(
        attributions=attributions, metrics=metrics, faithfulness=True, epochs=1, n_train=32, n_valid=24, n_test=24
    )
    trial = Trial(config)
    trial.train_epoch()
    localised = trial.localise()
    scores = localised.scores
    scored_columns = {columns.parse_localisation(name) for name in scores} - {None}
    assert scored_columns == {(s, m, a) for s in ("test_id", "test_ood") for m in metrics for a in attributions}
    measured = [columns.faithfulness("test_ood", m, a) for m in FAITHFULNESS for a in attributions]
    assert set(measured) < scores.keys()
    assert {name for name in scores if "faithfulness" in name and columns.parse_localisation(name)} == set()
    assert set(localised.seconds) == {columns.attribution_time(a) for a in attributions}
    assert scores["map_size.grad_cam"] == 7
    split, valid, index = trial.splits["test_ood"], trial.splits["valid_id"], torch.arange(12, 16)
    assert (split.labels[index] == 1).all()
    assert (valid.labels[index] == 1).all()
    make = ATTRIBUTIONS["input_gradient"](config).maps
    maps, valid_maps = (blurred(make(trial.model, s.images[index], s.labels[index])).float() for s in (split, valid))
    expected = LOCALISATION["distractor_mass"](maps, split.distractors[index, 0]).nanmean().item()
    assert scores["test_ood.distractor_mass.input_gradient"] == pytest.approx(expected, abs=1e-5)
    tuned = TUNED["iou_tuned"](maps, split.masks[index, 0], valid_maps, valid.masks[index, 0]).nanmean().item()
    assert scores["test_ood.iou_tuned.input_gradient"] == pytest.approx(tuned, abs=1e-5)


@pytest.mark.parametrize(
    ("attributions", "measure"),
    [(tuple(sorted(ATTRIBUTIONS.builtin)), "randomisation_check"), (("input_gradient",), "faithfulness")],
)
def test_without_an_image_to_score_every_score_is_undefined(attributions, measure, quick):
    metrics = tuple(sorted({**LOCALISATION.builtin, **TUNED}))
    trial = Trial(quick(**SMALLEST | {"attributions": attributions, "metrics": metrics, measure: True}, epochs=1))
    trial.train_epoch()
    trial.splits = {name: replace(s, masks=torch.zeros_like(s.masks)) for name, s in trial.splits.items()}
    localised = trial.localise()
    values = [value for name, value in localised.scores.items() if columns.parse_localisation(name)]
    assert len(values) == 2 * len(attributions) * len(metrics)
    assert all(math.isnan(value) for value in values)
    assert localised.arrays["test_id.map.input_gradient"].shape == (0, 28, 28)


def test_without_a_validation_image_to_score_tuned_metrics_alone_are_undefined(quick):
    trial = Trial(quick(**SMALLEST, metrics=("iou", "iou_tuned"), epochs=1))
    trial.train_epoch()
    valid = trial.splits["valid_id"]
    trial.splits = {**trial.splits, "valid_id": replace(valid, masks=torch.zeros_like(valid.masks))}
    scores = trial.localise().scores
    assert math.isnan(scores["test_ood.iou_tuned.input_gradient"])
    assert 0 <= scores["test_ood.iou.input_gradient"] <= 1


def make_split(labels: list[int], masked: list[bool]) -> Split:
    n = len(labels)
    masks = torch.zeros(n, 1, 2, 2, dtype=torch.bool)
    masks[:, 0, 0, 0] = torch.tensor(masked)
    return Split(
        images=torch.zeros(n, 1, 2, 2),
        labels=torch.tensor(labels),
        masks=masks,
        distractors=torch.zeros_like(masks),
        cues=torch.tensor(labels),
    )


def test_scored_images_of_two_classes_are_the_first_positives_with_a_mask():
    split = make_split([1, 0, 1, 1, 0, 1, 1], [True, True, False, True, False, True, True])
    assert scored_images(split, 2, 64).tolist() == [0, 3, 5, 6]
    assert scored_images(split, 2, 3).tolist() == [0, 3, 5]


def test_scored_images_of_more_classes_are_spread_over_them():
    labels = [k for k in range(10) for _ in range(20)]
    masked = [i % 5 != 0 for i in range(200)]
    split = make_split(labels, masked)
    chosen = scored_images(split, 10, 60)
    assert len(set(chosen.tolist())) == 60
    assert split.masks[chosen].flatten(1).any(dim=1).all()
    assert len(set(split.labels[chosen].tolist())) >= 9
    assert torch.equal(scored_images(split, 10, 60), chosen)
    assert scored_images(split, 10, 500).tolist() == [i for i in range(200) if masked[i]]


def test_divergence_in_the_last_step_is_noticed(quick):
    """One batch, one epoch: the loss was finite, the weights no longer are."""
    trial = Trial(quick(lr=1e35, epochs=1, n_train=16, batch_size=16))
    with pytest.raises(DivergedError, match="valid"):
        trial.train_epoch()


def test_an_injected_nan_is_named_by_batch_and_epoch(quick):
    trial = Trial(quick(method="gradmask", strength=0.5))
    trial.train_epoch()
    original, calls = trial.method.loss, []

    def poisoned(model, batch):
        calls.append(1)
        loss = original(model, batch)
        return replace(loss, penalty=loss.penalty * math.nan) if len(calls) == 3 else loss

    trial.method.loss = poisoned
    with pytest.raises(DivergedError) as caught:
        trial.train_epoch()
    for piece in ("penalty nan", "weight 0.5", "batch 2", "epoch 1"):
        assert piece in str(caught.value)


def test_an_unused_penalty_may_be_nan(quick):
    """At weight 0 the penalty is not part of the loss."""
    trial = Trial(quick())
    original = trial.method.loss
    trial.method.loss = lambda model, batch: replace(original(model, batch), penalty=torch.tensor(math.nan))
    assert math.isfinite(trial.train_epoch()["train.loss"])


def test_large_splits_are_evaluated_in_parts(quick):
    trial = Trial(quick(n_test=1100, epochs=1))
    sizes = []
    original = trial.model.forward

    def watched(images) -> Output:
        sizes.append(len(images))
        return original(images)

    trial.train_epoch()
    trial.model.forward = watched
    trial.evaluate()
    assert max(sizes) <= 512
    assert sum(sizes) == 64 + 2 * 1100 + 3 * 1100, "train, the test splits, and three probes of test_id"


def test_maps_are_scaled_to_their_maximum():
    maps = torch.tensor([[[0.0, 1e6], [2e6, 5e5]], [[0.0, 0.0], [0.0, 0.0]]])
    assert scaled(maps).tolist() == [[[0.0, 0.5], [1.0, 0.25]], [[0.0, 0.0], [0.0, 0.0]]]
