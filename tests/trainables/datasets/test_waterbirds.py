"""Waterbirds on a tiny folder of the same layout: birds, places, pixels, and refusals."""

import shutil
from itertools import chain

import numpy as np
import pytest
import torch
from PIL import Image
from support import tiny_waterbirds
from support.tiny_waterbirds import BIRD_RED, SPECIES, TEST, TRAINING, WATER

from trainables import resolve
from trainables.core.errors import ConfigurationError
from trainables.datasets.waterbirds import (
    PLACES,
    Waterbirds,
    WaterbirdsOptions,
    _file_digests,
    read_bird,
    read_birds,
    read_place,
)

SIZES = {"image_size": 20, "n_train": 16, "n_valid": 8, "n_test": 8}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tiny_waterbirds.make(tmp_path_factory.mktemp("waterbirds"))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """The user's cache folder, shared by these tests so that nothing is decoded twice."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "waterbirds-cache"))


@pytest.fixture
def broken(root, tmp_path):
    """A copy that a test may break."""
    return shutil.copytree(root, tmp_path / "copy")


def dataset_of(root, severity=0.5, data_seed=0, **options):
    return Waterbirds(WaterbirdsOptions(root=str(root), **{**SIZES, **options}), severity, data_seed)


def test_birds_are_labelled_by_the_last_word_of_their_species(root):
    birds = read_birds(root)
    assert len(birds) == len(SPECIES) * (TRAINING + TEST)
    for species, label in zip(SPECIES, WATER, strict=True):
        of_species = [bird for bird in birds if bird.name.startswith(species)]
        assert {bird.label for bird in of_species} == {label}
        assert [bird.training for bird in of_species] == [True] * TRAINING + [False] * TEST


def test_an_image_is_cropped_to_a_square_around_the_bird(root):
    for bird in read_birds(root)[::7]:
        image, mask = read_bird(root, bird.name, 24)
        with Image.open(root / "segmentations" / bird.name.replace(".jpg", ".png")) as votes:
            side = min(votes.size)
            area = (np.asarray(votes) > 127).sum()
        # The square holds the whole bird, 12 x 12 pixels before it was scaled.
        assert area == 144
        assert mask.sum() == pytest.approx(144 * (24 / side) ** 2, rel=0.15)
        assert image[0][mask].mean() == pytest.approx(BIRD_RED, abs=8)
        assert image[1][mask].mean() < 100, "red inside the mask"
        assert image[1][~mask].mean() > 217, "white outside"


def test_the_square_stays_in_the_image_and_a_place_is_cropped_to_its_middle(tmp_path):
    pixels = np.zeros((10, 30, 3), dtype=np.uint8)
    pixels[:, 10:20] = 255
    Image.fromarray(pixels).save(tmp_path / "place.png")
    np.testing.assert_array_equal(read_place(tmp_path / "place.png", 10), np.full((3, 10, 10), 255))
    (tmp_path / "CUB_200_2011" / "images").mkdir(parents=True)
    (tmp_path / "segmentations").mkdir()
    Image.fromarray(pixels).save(tmp_path / "CUB_200_2011" / "images" / "bird.jpg", quality=100)
    votes = np.zeros((10, 30), dtype=np.uint8)
    votes[2:8, 26:30] = 255
    Image.fromarray(votes).save(tmp_path / "segmentations" / "bird.png")
    image, mask = read_bird(tmp_path, "bird.jpg", 10)
    np.testing.assert_array_equal(mask, votes[:, 20:] > 0)
    assert image.max() < 25


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("severity", [0.0, 0.5, 1.0])
def test_pixels_are_those_of_birds_pasted_on_places(root, severity):
    """Composed one by one from the files, in floats."""
    dataset = dataset_of(root, severity, 3)
    names = [bird.name for bird in read_birds(root)]
    files = [path for folder in chain(*PLACES.values()) for path in sorted((root / "places365" / folder).glob("*.jpg"))]
    for name, split in dataset.splits().items():
        (birds, places), labels = dataset.parts()[name.partition("_")[0]]
        np.testing.assert_array_equal(split.labels, labels)
        for i, cue in enumerate(split.cues.tolist()):
            bird, mask = read_bird(root, names[birds[i]], 20)
            place = read_place(files[places[i, cue]], 20)
            image = np.where(mask, bird.astype(np.float32) / 255, place.astype(np.float32) / 255)
            np.testing.assert_array_equal(split.images[i], image)
            np.testing.assert_array_equal(split.masks[i][0], mask)
            assert torch.equal(split.distractors[i], ~split.masks[i])
            assert files[places[i, cue]].parent.relative_to(root / "places365").as_posix() in list(PLACES.values())[cue]


def test_severities_and_seeds_share_decoded_images(root, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folders = {folder for seed in (0, 1) for folder in dataset_of(root, 0.5 * seed, seed).decoded_folders()}
    assert folders == set((tmp_path / "saliency-sweep/datasets/decoded").iterdir())
    assert len(folders) == 2
    birds, masks, places = dataset_of(root).decoded()
    assert (birds.dtype, masks.dtype, places.dtype) == (np.uint8, np.bool_, np.uint8)
    assert len(birds) == len(masks) == len(read_birds(root))
    assert places.shape == (64, 3, 20, 20)
    assert not set(dataset_of(root, image_size=24).decoded_folders()) & folders


def test_a_changed_file_is_decoded_again(root, broken):
    _file_digests.cache_clear()
    birds, places = dataset_of(broken).decoded_folders()
    Image.new("RGB", (30, 30)).save(next((broken / "places365" / "o" / "ocean").glob("*.jpg")))
    _file_digests.cache_clear()
    assert dataset_of(broken).decoded_folders()[0] == birds
    assert dataset_of(broken).decoded_folders()[1] != places


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"root": ""}, "dataset 'waterbirds' needs root=FOLDER.*CUB_200_2011/.*places365/"),
        ({"root": "/nowhere"}, "root '/nowhere' .*is not a folder"),
        ({"n_train": 100}, "needs 54 land birds for train and valid and has 16; lower n_train"),
        ({"n_train": 24}, "needs 40 places of land, one for each bird and has 32; lower n_train"),
    ],
)
def test_unusable_options_are_refused(root, options, message):
    with pytest.raises(ConfigurationError, match=message):
        dataset_of(**{"root": root, **options}).splits()


@pytest.mark.parametrize(
    ("breaking", "message"),
    [
        (
            lambda root: (root / "CUB_200_2011/images.txt").write_text("1 a.Tern/x.jpg\nfoo\n"),
            "images.txt, line 2: 'foo' is not '<number> <text>'",
        ),
        (
            lambda root: (root / "CUB_200_2011/train_test_split.txt").write_text("1 1\n2 2\n"),
            "train_test_split.txt: image 2 of images.txt has '2' there; it must be 0",
        ),
        (
            lambda root: [Image.new("L", (9, 9)).save(path) for path in (root / "segmentations").rglob("*.png")],
            r"\.png has \(9, 9\) pixels .*they must agree",
        ),
        (lambda root: shutil.rmtree(root / "segmentations"), "there is no file .*segmentations.* root must hold"),
        (
            lambda root: [path.write_bytes(b"\xff\xd8\xff") for path in (root / "places365").rglob("*.jpg")],
            "jpg cannot be read as an image .*download it again",
        ),
        (
            lambda root: (root / "places365/o").rename(root / "places365/oceans"),
            "there is no .jpg in .*places365/o/ocean; root must hold",
        ),
    ],
)
def test_broken_files_are_named_before_training_and_while_reading(broken, breaking, message):
    breaking(broken)
    dataset = Waterbirds(WaterbirdsOptions(root=str(broken), **SIZES), 0.5, 0)
    for look in (dataset.check, dataset.splits):
        with pytest.raises(ConfigurationError, match=message):
            look()


def test_the_key_has_the_content_in_place_of_the_root(root, broken):
    here, there = (resolve({"dataset": "waterbirds", "root": str(r), **SIZES}) for r in (root, broken))
    assert here.dataset_options["root"] != there.dataset_options["root"]
    assert here.trial_key == there.trial_key
    assert resolve(here.flat()) == here
    next((broken / "places365" / "o" / "ocean").glob("*.jpg")).unlink()
    fewer = resolve({"dataset": "waterbirds", "root": str(broken), **SIZES})
    assert fewer.trial_key != here.trial_key
    planned = Waterbirds(WaterbirdsOptions(**there.dataset_options), 0.5, 0)
    for look in (planned.check, planned.splits):
        with pytest.raises(ConfigurationError, match=r"copy are not those that the trial was planned with \(content"):
            look()


def test_a_root_means_the_same_in_every_process_and_is_not_in_the_key(root, monkeypatch):
    whole = resolve({"dataset": "waterbirds", "root": str(root), **SIZES})
    monkeypatch.setenv("HOME", str(root.parent))
    monkeypatch.chdir(root.parent)
    for short in (root.name, f"./{root.name}", f"~/{root.name}"):
        config = resolve({"dataset": "waterbirds", "root": short, **SIZES})
        assert config.dataset_options["root"] == str(root)
        again = resolve({**config.flat(), "root": short})
        assert (again.dataset_options["root"], again.trial_key) == (str(root), whole.trial_key)
