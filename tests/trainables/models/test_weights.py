"""Weights that cannot be used are refused in one line before training; a filled cache works without internet."""

import pickle

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from trainables import ConfigurationError, resolve
from trainables.models.initialise import initialise
from trainables.models.weights import digest_of, load_weights
from trainables.trial.network import check_network

MODEL, REPOSITORY = "timm:test_resnet", "models--timm--test_resnet.r160_in1k"


@pytest.fixture
def state():
    torch.manual_seed(7)
    return timm.create_model("test_resnet").state_dict()


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """An empty cache of the hub, which cannot be reached."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def load(weights, keep_head=False, model=MODEL):
    network = initialise(model, 3, 1000, seed=0, side=32)
    load_weights(network, model, weights, digest_of(model, weights), keep_head)
    return network


def written(path, state):
    (save_file if path.suffix == ".safetensors" else torch.save)(state, path)
    return str(path)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_a_file_gives_every_tensor_of_the_network(state, tmp_path, name):
    ours = load(written(tmp_path / name, state), keep_head=True).state_dict()
    renamed = {f"network.{key}".replace("network.fc.", "head."): tensor for key, tensor in state.items()}
    assert all(torch.equal(ours[key], tensor) for key, tensor in renamed.items())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pickle.dumps(print), "has more than tensors in it"),
        (b"hello\n", "cannot be read as tensors alone"),
        (b"", "cannot be read as tensors alone"),
    ],
)
def test_files_of_something_else_are_refused_in_one_line(tmp_path, content, reason):
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=reason) as refused:
        load(str(path))
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "arbitrary code" not in str(refused.value)


def test_a_whole_network_is_refused(tmp_path):
    path = tmp_path / "a.pth"
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(ConfigurationError, match=r"has more than tensors in it, .*state_dict"):
        load(str(path))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"model": MODEL, "keep_head": True}, "is 1000 x 96 there, 2 x 96 here"),
        ({"model": "timm:test_efficientnet"}, "are not of model 'timm:test_efficientnet'"),
        ({"model": "small_cnn"}, "are not of model 'small_cnn'"),
    ],
)
def test_weights_of_another_network_are_refused_before_training(state, tmp_path, settings, reason):
    config = resolve({**settings, "weights": written(tmp_path / "a.pth", state)})
    with pytest.raises(ConfigurationError, match=reason):
        check_network(config)


def test_weights_for_images_of_another_size_are_refused(tmp_path):
    file = written(tmp_path / "a.pth", timm.create_model("test_vit", img_size=160).state_dict())
    with pytest.raises(ConfigurationError, match="pos_embed is 1 x 101 x 64 there, 1 x 5 x 64 here; set image_size"):
        load(file, model="timm:test_vit")


def test_without_internet_one_line_names_the_file_and_its_folder(hub_cache, capfd):
    with pytest.raises(ConfigurationError, match="looked for model") as refused:
        load("pretrained")
    assert "safetensors of timm/test_resnet.r160_in1k" in str(refused.value)
    assert str(hub_cache) in str(refused.value)
    assert capfd.readouterr() == ("", "")


def test_without_internet_the_cache_is_used(hub_cache, state):
    revision = "0" * 40
    (hub_cache / REPOSITORY / "refs").mkdir(parents=True)
    (hub_cache / REPOSITORY / "refs/main").write_text(revision)
    folder = hub_cache / REPOSITORY / "snapshots" / revision
    folder.mkdir(parents=True)
    save_file(state, folder / "model.safetensors")
    assert torch.equal(load("pretrained").network.conv1[0].weight, state["conv1.0.weight"])


def key(weights):
    return resolve({"model": MODEL, "weights": weights}).trial_key


def test_the_key_depends_on_a_files_content_not_on_its_place(state, tmp_path):
    (tmp_path / "moved").mkdir()
    first, moved = (written(path / "a.pth", state) for path in (tmp_path, tmp_path / "moved"))
    assert key(first) == key(moved) == key(str(tmp_path / "moved"))
    assert key(first) not in (key("random"), key("pretrained"))
    state["fc.bias"] += 1
    assert key(written(tmp_path / "moved" / "a.pth", state)) != key(first)


def test_a_file_that_changes_after_planning_is_refused(state, tmp_path):
    file = written(tmp_path / "a.pth", state)
    digest = digest_of(MODEL, file)
    written(tmp_path / "a.pth", {name: tensor + 1 for name, tensor in state.items()})
    with pytest.raises(ConfigurationError, match=r"a\.pth has changed since the trial was planned"):
        load_weights(initialise(MODEL, 3, 2, seed=0, side=32), MODEL, file, digest, keep_head=False)


@pytest.mark.slow
def test_weights_in_s3_are_those_of_the_file(state, tmp_path, bucket):
    import boto3

    file = written(tmp_path / "a.safetensors", state)
    boto3.client("s3").upload_file(file, bucket.removeprefix("s3://"), "weights/a.safetensors")
    assert key(f"{bucket}/weights/a.safetensors") == key(f"{bucket}/weights") == key(file)
    here, there = load(file, keep_head=True), load(f"{bucket}/weights", keep_head=True)
    assert all(map(torch.equal, here.state_dict().values(), there.state_dict().values()))
    with pytest.raises(ConfigurationError, match=r"there is no file s3://.*/absent\.pth"):
        key(f"{bucket}/absent.pth")
