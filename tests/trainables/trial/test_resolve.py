"""Configurations: keys, round trips, and what errors name."""

import hashlib
import math
import re

import pytest

from records import columns
from search_spaces.space import factorial
from search_spaces.strengths import ONE_STRENGTH, SMALL_DISCRIMINATOR, strength_grid
from trainables import resolve
from trainables.core.config import DETECTED, MASK_CONTROLS, OMITTED_AT_DEFAULT, TrialConfig
from trainables.core.errors import ConfigurationError
from trainables.datasets import DATASETS
from trainables.methods import METHODS
from trainables.models import MODELS
from trainables.saliency.attribution import ATTRIBUTIONS
from trainables.saliency.localisation import LOCALISATION, TUNED
from trainables.trial.train import candidate_epoch

FULL = {"dataset": "synthetic", "severity": 0.5, "method": "adversarial", "strength": 0.25, "model": "small_cnn"}
FULL |= {"seed": 3, "data_seed": 4, "preset": "fixed", "selection": "last", "selection_warmup": 2, "epochs": 7}
FULL |= {"lr": 0.01, "precision": "bfloat16", "batch_size": 16, "empty_mask": "inside", "attribution_images": 5}
FULL |= {"mask_dilation": 1, "mask_condition": "shifted", "mask_fraction": 0.5, "mask_test": False}
FULL |= {"attributions": ("occlusion", "layer_grad_cam"), "attribution_passes": 30, "metrics": ("energy", "iou_tuned")}
FULL |= {"faithfulness": True, "grad_cam_layer": "trunk.2", "randomisation_check": True}
FULL |= {"optimizer": "sgd", "momentum": 0.8, "nesterov": True, "weight_decay": 0.01, "schedule": "step"}
FULL |= {"step_epochs": 2, "warmup": 1.0, "clip_norm": 2.0, "freeze": "all_but_1", "head_lr": 0.02}
FULL |= {"augment": "crop_flip"}
FULL |= {"integrated_gradients_steps": 9, "disc_iter": 3, "disc_lr": 0.002, "disc_width": 32}
FULL |= {"weights": "random", "keep_head": False}
FULL |= {"variant": "paper", "n_train": 40, "n_valid": 48, "n_test": 56}
# Other values of the settings that are no numbers.
OTHER = {"method": "gradmask", "model": "resnet18", "preset": "paper", "selection": "best_valid_ood"}
OTHER |= {"precision": "float32", "mask_condition": "random", "empty_mask": "outside", "variant": "hard"}
OTHER |= {"optimizer": "adam", "schedule": "cosine", "freeze": "all_but_2", "augment": "color"}
OTHER |= {"attributions": ("layer_grad_cam",), "metrics": ("energy",), "grad_cam_layer": "trunk.1"}


def without(settings: dict, *keys: str) -> dict:
    return {k: v for k, v in settings.items() if k not in keys}


def test_full_names_every_setting():
    assert set(resolve(FULL).flat()) == set(FULL), "add the new setting to FULL"


def test_every_setting_has_a_description():
    options = [part.Options for part in (*METHODS.usable().values(), *DATASETS.usable().values())]
    fields = {(m.__name__, name): field for m in (TrialConfig, *options) for name, field in m.model_fields.items()}
    assert [name for name, field in fields.items() if not field.description] == []


@pytest.mark.parametrize("field", sorted(FULL.keys() - {"dataset", "mask_test", "weights", "keep_head"}))
def test_key_changes_with_each_setting(field):
    value = FULL[field]
    if field in OTHER:
        other = OTHER[field]
    else:
        other = not value if isinstance(value, bool) else value + 2 if isinstance(value, int) else value / 2
    changed = {**FULL, field: other}
    if field == "method":
        changed = without(changed, "disc_iter", "disc_lr", "disc_width")
    if field == "optimizer":
        changed = without(changed, "momentum", "nesterov")
    if field == "schedule":
        changed = without(changed, "step_epochs")
    assert resolve(changed).trial_key != resolve(FULL).trial_key


def test_key_changes_with_masks_at_test_time():
    assert resolve({"mask_test": True}).trial_key != resolve({}).trial_key


@pytest.mark.slow
def test_keys_did_not_change_when_settings_were_added():
    def key(settings):
        # The crosses have changed since: the keys are those of their revision 1.
        return resolve(settings).model_copy(update={"dataset_revision": 1}).trial_key

    assert {*MASK_CONTROLS, *OMITTED_AT_DEFAULT} < set(FULL)
    assert key({}) == "dd6a615c4880c9aa"
    both = {"datasets": ("synthetic", "decoy_digits"), "method_settings": SMALL_DISCRIMINATOR}
    few = {"lr": (3e-3,), "epochs": (3,), "attribution_images": (16,), "integrated_gradients_steps": (16,)}
    smoke = factorial(seeds=(0, 1), severities=(0.0, 0.5, 1.0), strengths=ONE_STRENGTH, **both, **few)
    many = {"lr": (1e-3, 3e-3, 1e-2), "epochs": (8,), "attribution_images": (32,)}
    severities = (0.0, 0.5, 0.8, 0.9, 1.0)
    laptop = factorial(seeds=range(10), severities=severities, strengths=strength_grid(levels=4), **both, **many)
    # Both spaces as they were then.
    for trials, expected in ((smoke, "afc0a6d99dbf0d6b"), (laptop, "c2091fc8f1332dc6")):
        assert hashlib.sha256(" ".join(map(key, trials)).encode()).hexdigest()[:16] == expected


def test_key_ignores_order_and_explicit_defaults():
    key = resolve(FULL).trial_key
    assert resolve(dict(reversed(FULL.items()))).trial_key == key
    assert resolve({**FULL, "attributions": ["occlusion", "layer_grad_cam"]}).trial_key == key
    assert resolve({}).trial_key == resolve(resolve({}).flat()).trial_key
    assert resolve({"severity": 1}).trial_key == resolve({"severity": 1.0}).trial_key
    assert re.fullmatch("[0-9a-f]{16}", key)


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("preset", ["fixed", "paper"])
def test_flat_round_trip(method, preset):
    config = resolve({"method": method, "preset": preset, "seed": 9, "n_test": 50})
    assert resolve(config.flat()) == config


def test_full_round_trip():
    config = resolve(FULL)
    assert resolve(config.flat()) == config
    assert config.flat() == FULL


def test_columns():
    result = resolve(FULL).columns()
    assert result["trial_key"] == resolve(FULL).trial_key
    expected = {"severity": 0.5, "hp.disc_iter": 3, "hp.n_train": 40, "hp.attributions": "occlusion layer_grad_cam"}
    assert expected.items() <= result.items()
    named = {name.removeprefix("hp.") for name in result}
    assert named | {"weights", "keep_head"} == {"trial_key", *FULL}


def test_settings_of_measures_at_their_default_are_not_in_the_record():
    """So that records of one key have one set of columns, whenever they were made."""
    assert not {columns.hyperparameter(name) for name in OMITTED_AT_DEFAULT} & resolve({}).columns().keys()


def test_paper_preset_treats_empty_masks_as_all_outside_by_default():
    assert resolve({"preset": "paper"}).empty_mask == "outside"
    assert resolve({"preset": "paper", "empty_mask": "skip"}).empty_mask == "skip"
    assert resolve({}).empty_mask == "skip"


@pytest.mark.parametrize(("epochs", "warmup", "first"), [(10, 4, 4), (3, 4, 2), (1, 0, 0), (5, 4, 4)])
def test_candidate_epoch(epochs, warmup, first):
    assert candidate_epoch(resolve({"epochs": epochs, "selection_warmup": warmup})) == first


NAMES = {"method": METHODS, "model": MODELS, "dataset": DATASETS, "attribution": ATTRIBUTIONS}
NAMES |= {"metric": sorted([*LOCALISATION, *TUNED])}
CHOICES = {kind: [f"choose from {', '.join(names)}"] for kind, names in NAMES.items()}


@pytest.mark.parametrize(
    ("settings", "pieces"),
    [
        ({"method": "rrrr"}, ["unknown method 'rrrr'", *CHOICES["method"], "trainables/methods/__init__.py"]),
        ({"method": 1}, ["unknown method '1'", *CHOICES["method"]]),
        ({"method": None}, ["unknown method 'None'", *CHOICES["method"]]),
        ({"model": "vgg"}, ["unknown model 'vgg'", *CHOICES["model"], "docs/networks.md"]),
        ({"model": "resnet50"}, ["did you mean 'timm:resnet50' or 'torchvision:resnet50'?", *CHOICES["model"]]),
        ({"model": "timm:resnet5"}, ["unknown model 'timm:resnet5'; did you mean 'resnet50'", "timm has "]),
        ({"model": "timm:resnet18.x"}, ["did you mean", "resnet18.a1_in1k"]),
        ({"model": "torchvision:resnt18"}, ["unknown model", "did you mean 'resnet18'"]),
        (
            {"model": "absent:function"},
            ["'absent:function' cannot be imported: Module", "module:function"],
        ),
        ({"model": "math:pi"}, ["model 'math:pi' is 3.14", "a function of classes"]),
        ({"weights": "pretrained"}, ["weights 'pretrained' for model 'small_cnn'", "timm or torchvision", "FILE"]),
        ({"weights": "/absent.pth"}, ["there is no file /absent.pth; correct its name or put it there"]),
        ({"weights": "/absent"}, ["weights '/absent': 0 files", ".safetensors, .pth", "s3://bucket/key"]),
        ({"keep_head": True}, ["keep_head true without weights; set weights to pretrained or a file"]),
        (
            {"model": MODELS["small_cnn"](1, 2)},
            ["unknown model SmallCNN(…; ", *CHOICES["model"], "docs/networks.md"],
        ),
        ({"model": ["small_cnn"]}, ["unknown model ['small_cnn']; ", *CHOICES["model"]]),
        ({"dataset": "mnist"}, ["unknown dataset 'mnist'", *CHOICES["dataset"], "trainables/datasets/__init__.py"]),
        ({"dataset": MODELS["small_cnn"](1, 2)}, ["unknown dataset 'SmallCNN(", "…; choose from"]),
        (
            {"attributions": ["input_gradient", "lime"]},
            ["unknown attribution 'lime'", *CHOICES["attribution"], "trainables/saliency/attribution/__init__.py"],
        ),
        (
            {"metrics": ["iou", "dice"]},
            ["unknown metric 'dice'", *CHOICES["metric"], "trainables/saliency/localisation/__init__.py"],
        ),
        (
            {"learning_rate": 0.1},
            ["unknown setting 'learning_rate'", "'baseline'", "'synthetic'", "choose from", "lr", "n_train"],
        ),
        ({"method": "gradmask", "disc_iter": 3}, ["unknown setting 'disc_iter'", "method 'gradmask'", "choose from"]),
        ({"dataset": "decoy_digits", "n_test": 50}, ["unknown setting 'n_test'", "dataset 'decoy_digits'", "classes"]),
        ({"strength": "9" * 79 + "x"}, ["bad value '" + "9" * 79 + "… for strength", "valid number"]),
        ({"data_seed": 1_431_655_765}, ["bad value 1431655765 for data_seed", "less than or equal to 1431655764"]),
        ({"severity": 1.5}, ["bad value 1.5 for severity", "less than or equal to 1"]),
        ({"severity": math.nan}, ["bad value nan for severity"]),
        ({"method": "rrr", "strength": -1}, ["bad value -1 for strength", "greater than or equal to 0"]),
        ({"method": "rrr", "strength": math.inf}, ["bad value inf for strength", "finite"]),
        ({"strength": 0.5}, ["strength 0.5 for method 'baseline'", "no penalty", "leave strength at 0 or choose"]),
        ({"lr": 0}, ["bad value 0 for lr", "greater than 0"]),
        ({"epochs": 0}, ["bad value 0 for epochs", "greater than or equal to 1"]),
        ({"preset": "mine"}, ["bad value 'mine' for preset", "'fixed' or 'paper'"]),
        (
            {"mask_condition": "random"},
            [
                "mask_condition random for method 'baseline'",
                "sees no masks",
                f"leave it at expert or choose from {', '.join(m for m in METHODS if METHODS[m].reads_masks)}",
            ],
        ),
        (
            {"method": "rrr", "mask_fraction": 0.5, "mask_test": True},
            ["mask_fraction 0.5 with mask_test", "leave it at 1.0 or mask_test at false"],
        ),
        ({"method": "adversarial", "disc_iter": 0}, ["bad value 0 for disc_iter", "greater than or equal to 1"]),
        ({"severity": 2, "epochs": 0}, ["bad value 2 for severity", "; ", "bad value 0 for epochs"]),
    ],
)
def test_errors_name_the_value_the_choices_and_the_fix(settings, pieces):
    with pytest.raises(ConfigurationError) as caught:
        resolve(settings)
    message, start = str(caught.value), 0
    for piece in pieces:
        assert piece in message[start:], f"{piece!r} is missing, or out of order, in: {message}"
        start = message.index(piece, start) + len(piece)
    assert "\n" not in message


def test_detected_settings_are_not_offered():
    with pytest.raises(ConfigurationError) as caught:
        resolve({"revision": 2})
    assert [name for name in DETECTED if name in str(caught.value)] == []


@pytest.mark.parametrize(
    ("settings", "scale", "earlier"),
    [
        ({}, 1, "ceefc8f18be51d31"),
        ({"dataset": "digits_on_photos", "image_size": 32}, 1, "659685a0f43818cf"),
        ({"dataset": "digits_on_photos"}, 1, "bd3402f80ca15965"),
        ({"dataset": "digits_on_photos", "image_size": 64, "preset": "paper"}, 1, "402776a87de31b91"),
        ({"dataset": "digits_on_photos", "image_size": 64, "attributions": ("occlusion",)}, 1, "ed0f3f26f39d564a"),
        ({"dataset": "digits_on_photos", "image_size": 64}, 2, "c57b5078212416aa"),
    ],
)
def test_only_a_wider_blur_changes_the_key(settings, scale, earlier):
    """`earlier` are the keys of the version that blurred maps by one pixel at every size."""
    config = resolve(settings)
    assert config.blur_scale == scale
    assert (config.trial_key == earlier) == (scale == 1)
    assert config.model_copy(update={"blur_scale": 1}).trial_key == earlier
    assert config.columns().get("hp.blur_scale", 1) == scale
    assert resolve(config.flat()) == config


@pytest.mark.parametrize(
    ("part", "name"), [(METHODS["actdiff"], "method_revision"), (DATASETS["decoy_digits"], "dataset_revision")]
)
def test_a_new_revision_changes_the_key(monkeypatch, part, name):
    settings = {"method": "actdiff", "dataset": "decoy_digits"}
    before = resolve(settings)
    monkeypatch.setattr(part, "revision", classmethod(lambda cls, settings: 2))
    after = resolve(settings)
    assert after.trial_key != before.trial_key
    assert after.columns()[f"hp.{name}"] == 2
    assert f"hp.{name}" not in before.columns()
    assert resolve(after.flat()) == after
    with pytest.raises(ConfigurationError, match=f"bad value 1 for {name}: this trial's is 2; leave it out, or plan"):
        resolve({**settings, name: 1})
