"""A user's own images: counts, splits without common subjects, nesting over severities, one key per content."""

import csv
import multiprocessing
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import own_images

from driver import UserError
from driver.plan.make_plan import check_data, make_plan
from driver.plan.plan import Plan
from records.folder_storage import FolderStorage
from search_spaces import SPACES
from trainables import resolve
from trainables.core.errors import ConfigurationError
from trainables.core.files import cache_folder
from trainables.datasets import find_dataset
from trainables.datasets.own.image_file import ImageFile
from trainables.trial.trial import Trial

SPLITS = ("train", "valid_id", "valid_ood", "test_id", "test_ood")


def opened(place, severity=1.0, data_seed=0, **options):
    config = resolve({"dataset": str(place), "severity": severity, "image_size": own_images.SIDE, **options})
    dataset = find_dataset(config.dataset)
    return dataset(dataset.Options(**config.dataset_options), severity, data_seed)


@pytest.fixture
def build(images):
    return lambda severity=1.0, data_seed=0, **options: opened(f"folder:{images}", severity, data_seed, **options)


@pytest.mark.usefixtures("held")
def test_every_pixel_and_mask_is_that_of_its_file(images, build):
    dataset = build(0.5)
    decoded, index = dataset.decoded(), dataset.index()
    for name, split in dataset.splits().items():
        for i, row in enumerate(index[name]):
            number = int(decoded.rows[row].image[1:].split(".")[0])
            group, label = own_images.CELLS[number // 2 % 4]
            image, mask = own_images.drawn(number, group, label)
            tolerance = {0: 1e-5, 1: 0.05, 2: 2e-4, 3: 1e-5}[number % 4]
            np.testing.assert_allclose(split.images[i][0].numpy(), image, atol=tolerance)
            has_mask = label == "sick" or number % 3
            np.testing.assert_array_equal(split.masks[i][0].numpy(), mask if has_mask else np.zeros_like(mask))
            assert split.labels[i] == (label == "sick")
            # The bar in the corner, read from the pixels: on the left for one group, on the right for the other.
            right = split.images[i][0, 2, -2] > split.images[i][0, 2, 1]
            assert split.cues[i] == int(right) == (group == "right")


@pytest.mark.parametrize("severity", [0.0, 0.5, 0.8, 1.0])
def test_severity_sets_the_agreement_and_neither_size_nor_balance(build, severity):
    sizes = {name: len(split) for name, split in build(1.0).splits().items()}
    for name, split in build(severity).splits().items():
        assert not split.distractors[:].any()
        assert len(split) == sizes[name]
        per_class = len(split) // 2
        assert torch.bincount(split.labels).tolist() == [per_class, per_class]
        expected = per_class * (0.5 - severity / 2 if name.endswith("ood") else 0.5 + severity / 2)
        agreeing = torch.bincount(split.labels[split.cues == split.labels], minlength=2)
        assert (agreeing - expected).abs().max() <= (0 if severity in (0, 1) else 0.5 + 1e-9), name


def test_no_subject_is_in_two_pools_and_twins_share_what_they_can(build):
    rows = build().decoded().rows
    at = {s: build(s, 1).index() for s in (0.0, 0.5, 1.0)}
    for index in at.values():
        pools = [{rows[i].subject for n in names for i in index[n]} for names in (SPLITS[:1], SPLITS[1:3], SPLITS[3:])]
        assert len(set.union(*pools)) == sum(map(len, pools))
        assert all(len(set(index[n])) == len(index[n]) for n in SPLITS)
    agreeing = {i for i, row in enumerate(rows) if (row.group == "right") == (row.label == "sick")}
    for name, severities in (("train", (0.0, 0.5, 1.0)), ("test_ood", (1.0, 0.5, 0.0))):
        weak, medium, strong = (agreeing.intersection(at[s][name]) for s in severities)
        assert weak <= medium <= strong, "more severity only adds agreeing images"
    np.testing.assert_array_equal(at[0.0]["test_id"], at[0.0]["test_ood"])
    assert not set(at[1.0]["test_id"]) & set(at[1.0]["test_ood"])


@pytest.mark.usefixtures("held")
def test_sizes_class_names_and_cue_groups_can_be_set(build):
    splits = build(0.5, n_train=16, n_valid=8, n_test=8, class_names="sick,normal").splits()
    assert [len(splits[name]) for name in SPLITS] == [16, 8, 8, 8, 8]
    turned = build(1.0, cue_groups="left=sick,right=normal").splits()["train"]
    images = turned.images[:]
    left = images[:, 0, 2, 1] > images[:, 0, 2, -2]
    assert torch.equal(left, turned.labels == 1)
    larger = build(0.5, max_severity=0.5).splits()
    assert len(larger["test_ood"]) > len(build(0.5).splits()["test_ood"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_train": 200}, "train images of label .* are too few.* n_train=200 .*set n_train to at most"),
        ({"n_test": 6}, "n_test=6 cannot be shared evenly .*multiple of 4"),
        ({"severity": 1.0, "max_severity": 0.8}, "severity 1 is above max_severity=0.8.*raise max_severity"),
        ({"class_names": "sick,healthy"}, "class_names 'sick,healthy' .*normal, sick"),
        ({"cue_groups": "left=sick"}, "bad cue_groups 'left=sick' .*right.*GROUP=LABEL"),
        ({"pixel_range": "9:2"}, "bad value '9:2' for pixel_range.*LOW:HIGH"),
        ({"valid_fraction": 0.6, "test_fraction": 0.5}, "valid_fraction . test_fraction is 1.1.*below 1"),
    ],
)
def test_impossible_settings_are_refused(build, options, message):
    with pytest.raises(ConfigurationError, match=message):
        build(**options).check()


def key(place, **settings):
    return resolve({"dataset": str(place), **settings}).trial_key


@pytest.fixture
def small(tmp_path):
    own_images.make_folder(tmp_path / "small", images=32)
    return tmp_path / "small"


def test_the_key_depends_on_the_content_and_not_on_its_place(small, tmp_path):
    first = key(f"folder:{small}")
    assert key(f"folder:{shutil.copytree(small, tmp_path / 'moved')}") == first
    assert key(f"folder:{small}", image_size=32) != first
    config = resolve({"dataset": f"folder:{small}"})
    assert resolve(config.flat()) == config
    assert config.dataset == f"folder:{small}"


def test_one_changed_pixel_label_or_mask_makes_new_trials(small, monkeypatch):
    monkeypatch.setattr("trainables.core.files.SETTLED_SECONDS", -1)
    keys = [key(f"folder:{small}")]
    for path in (small / "images/x0.png", small / "masks/x2.png", small / "images/x3.npy"):
        data = bytearray(path.read_bytes())
        data[-20] ^= 1
        stat = path.stat()
        path.write_bytes(bytes(data))
        # A program may keep size and modification time.
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        keys.append(key(f"folder:{small}"))
    table = small / "table.csv"
    table.write_text(table.read_text().replace("x0.png,normal", "x0.png,sick"))
    keys.append(key(f"folder:{small}"))
    assert len(set(keys)) == 5


def test_data_that_changed_since_planning_are_refused(small, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    planned = opened(f"folder:{small}")
    image, _ = own_images.drawn(99, "left", "sick")
    (small / "images/x3.npy").write_bytes(own_images.npy_bytes(image))
    with pytest.raises(ConfigurationError, match=r"not those that the trial was planned with .*same command again"):
        planned.splits()


def test_images_of_a_killed_process_are_not_used_and_removed_after_a_day(small, monkeypatch, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    expected = opened(f"folder:{small}").splits()["train"].images[:]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with monkeypatch.context() as killed:
        # A process that is killed neither renames nor removes what it has written.
        killed.setattr(Path, "rename", interrupt)
        killed.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            opened(f"folder:{small}").splits()
    (abandoned,) = cache_folder("decoded").iterdir()
    running = shutil.copytree(abandoned, abandoned.with_name(f"{abandoned.name}1"))
    os.utime(abandoned, (0, 0))
    assert torch.equal(opened(f"folder:{small}").splits()["train"].images[:], expected)
    assert not abandoned.exists()
    assert running.exists()


def test_no_black_images_after_a_power_failure(small, breakable_disk, monkeypatch, tmp_path):
    expected = opened(f"folder:{small}").splits()["train"].images[:]
    monkeypatch.setenv("XDG_CACHE_HOME", str(breakable_disk.path))
    # In a process that ends: this one would keep the files mapped.
    process = multiprocessing.get_context("fork").Process(target=lambda: opened(f"folder:{small}").splits())
    process.start()
    process.join()
    # A record that is written to the same disk flushes its journal, and so the new folder's name.
    FolderStorage(breakable_disk.path).write("record", b"")
    breakable_disk.cut_power()
    breakable_disk.mount()
    assert torch.equal(opened(f"folder:{small}").splits()["train"].images[:], expected)


def test_a_cache_that_cannot_be_written_only_costs_time(small, monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    expected = opened(f"folder:{small}").splits()["train"].images[:]
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert torch.equal(opened(f"folder:{small}").splits()["train"].images[:], expected)


@pytest.mark.usefixtures("held")
def test_a_manifest_with_boxes_and_given_splits(tmp_path):
    rows = []
    for i in range(48):
        group, label = own_images.CELLS[i % 4]
        image, _ = own_images.drawn(i, group, label)
        (tmp_path / f"{i}.npy").write_bytes(own_images.npy_bytes(image))
        boxes = "2 3 4 5; 10,10,2,2" if label == "sick" else ""
        split = ("train", "val", "test")[i // 4 % 3]
        rows.append({"file": f"{i}.npy", "class": label, "group": group, "boxes": boxes, "split": split})
    own_images.write_csv(tmp_path / "list.csv", rows)
    dataset = opened(f"manifest:{tmp_path / 'list.csv'}", 0.5)
    splits, index = dataset.splits(), dataset.index()
    expected = torch.zeros(20, 20, dtype=torch.bool)
    expected[3:8, 2:6] = expected[10:12, 10:12] = True
    for number, name in enumerate(("train", "valid_id", "test_id")):
        assert len(splits[name])
        assert {i // 4 % 3 for i in index[name]} == {number}
        for mask, label in zip(splits[name].masks, splits[name].labels, strict=True):
            assert torch.equal(mask[0], expected) if label == 1 else not mask.any()


@pytest.mark.usefixtures("held")
def test_npy_images_and_masks_with_a_table_for_each_split(tmp_path):
    # The layout of the paper's synthetic set: no groups, the shift is that between the tables.
    for pool, start in (("train", 0), ("valid", 200), ("test", 300)):
        names = []
        for i in range(24):
            label, group = i % 2, "left" if (i % 2 == 0) == (pool == "train") else "right"
            image, mask = own_images.drawn(start + i, group, ("normal", "sick")[label])
            np.save(tmp_path / f"{pool}_img_{i}.npy", image)
            np.save(tmp_path / f"{pool}_seg_{i}.npy", mask.astype(np.float64))
            names.append({"file": f"{pool}_img_{i}.npy", "class": str(label)})
        own_images.write_csv(tmp_path / f"{pool}_labels.csv", names)
    dataset = opened(f"folder:{tmp_path}")
    dataset.check()
    splits = dataset.splits()
    assert [len(splits[name]) for name in SPLITS] == [12, 6, 24, 6, 24]
    for name, split in splits.items():
        assert split.masked.all()
        images = split.images[:]
        left = images[:, 0, 2, 1] > images[:, 0, 2, -2]
        assert torch.equal(left, (split.labels == 0) ^ name.endswith("ood"))
    with pytest.raises(ConfigurationError, match=r"severity 0\.5 for data without a column 'group'.*set severity=1"):
        opened(f"folder:{tmp_path}", 0.5).check()
    assert not dataset.knows_cues
    config = resolve({"dataset": f"folder:{tmp_path}", "image_size": own_images.SIDE, "method": "group_dro"})
    refusal = r"method 'group_dro' needs the group of every image .* give the table a column 'group'"
    with pytest.raises(UserError, match=refusal):
        check_data(Plan(SPACES["own_data"], {config.trial_key: config}))
    with pytest.raises(ConfigurationError, match=refusal):
        Trial(config)


@pytest.fixture
def ungrouped(tmp_path):
    """ungrouped(change): 48 images, 24 subjects, a third for each split; change(row, i) edits a row of the table."""
    rows = own_images.make_folder(tmp_path / "ungrouped", images=48)

    def write(change=lambda row, i: None):
        for i, row in enumerate(rows):
            row.pop("group", None)
            row["split"] = ("train", "valid", "test")[i // 8 % 3]
            change(row, i)
        own_images.write_csv(tmp_path / "ungrouped/table.csv", rows)
        return f"folder:{tmp_path / 'ungrouped'}"

    return write


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (lambda row, i: i == 1 and row.update(label="noraml"), {}, r"has no image of label 'noraml'.* row 3\)"),
        (
            lambda row, i: row["split"] == "test" and row.update(label="sick"),
            {},
            "test_ood has no image of label 'normal'",
        ),
        (lambda row, i: row["split"] == "train" and row.update(subject=row["label"]), {}, "images of more subjects"),
        (lambda row, i: None, {"n_train": 8}, "n_train=8 has no effect on data without .*or set n_train=null$"),
        (lambda row, i: None, {"cue_groups": "a=normal"}, 'has no effect on data without .* or set cue_groups=""$'),
        (lambda row, i: row.update(split=SPLITS[i // 8 % 5]), {"valid_fraction": 0.1}, "data whose splits are given"),
        (lambda row, i: row.update(group="ab"[i // 8 % 2]), {"test_fraction": 0.1}, "or set test_fraction=0.25$"),
    ],
)
def test_what_does_not_fit_the_splits_of_the_table_is_refused(change, settings, message, ungrouped):
    with pytest.raises(ConfigurationError, match=message):
        opened(ungrouped(change), **settings).check()


def test_the_space_of_own_images_fits_data_without_groups(ungrouped):
    check_data(make_plan(space="own_data", dataset=ungrouped(), overrides={"severity": 1.0}, max_trials=4))


@pytest.mark.parametrize(
    "layout", ["{pool}.csv {pool}/", "{pool}/labels.csv {pool}/images/", "{pool}.csv images/{pool}/"]
)
def test_layouts_of_a_table_for_each_split(layout, small, tmp_path):
    rows = list(csv.DictReader((small / "table.csv").read_text().splitlines()))
    for number, pool in enumerate(("train", "valid", "test")):
        table, images = (tmp_path / part.format(pool=pool) for part in layout.split())
        masks = Path(str(images).replace("images", "masks")) if "images" in layout else images / "masks"
        for folder in (images, masks, table.parent):
            folder.mkdir(parents=True, exist_ok=True)
        chosen = [row for i, row in enumerate(rows) if i // 2 // 4 % 3 == number]
        for row in chosen:
            shutil.copy(small / "images" / row["image"], images)
            mask = small / "masks" / f"{Path(row['image']).stem}.png"
            if mask.exists():
                shutil.copy(mask, masks)
        own_images.write_csv(table, chosen)
    dataset = opened(f"folder:{tmp_path}", 0.0, max_severity=0.0)
    decoded = dataset.decoded()
    assert len(decoded.rows) == 32
    assert decoded.masks.any(axis=(1, 2)).sum() == len(list((small / "masks").iterdir()))
    assert {decoded.rows[i].split for i in dataset.index()["valid_ood"]} == {"valid"}


@pytest.mark.slow
def test_a_folder_in_s3_is_the_same_data_and_fetched_once(small, bucket, monkeypatch):
    import boto3

    name = bucket.removeprefix("s3://")
    client = boto3.client("s3")
    for path in sorted(small.rglob("*")):
        if path.is_file():
            client.upload_file(str(path), name, f"data/{path.relative_to(small)}")
    remote = f"folder:{bucket}/data"
    assert key(remote) == key(f"folder:{small}")
    assert torch.equal(
        opened(remote).splits()["train"].images[:], opened(f"folder:{small}").splits()["train"].images[:]
    )
    fetched = []
    from records.s3_storage import S3Storage

    read = S3Storage.read
    monkeypatch.setattr(S3Storage, "read", lambda self, name, *limit: fetched.append(name) or read(self, name, *limit))
    assert key(remote) == key(f"folder:{small}")
    assert fetched == []
    client.put_object(Bucket=name, Key="data/masks/x2.png", Body=own_images.png_bytes(np.zeros((20, 20), np.uint8)))
    assert key(remote) != key(f"folder:{small}")
    assert fetched == ["x2.png"]
    with pytest.raises(ConfigurationError, match=r"there is no folder s3://.*/nothing"):
        key(f"folder:{bucket}/nothing")


def same_folder(folder: Path, sizes: list[tuple[int, int]]) -> Path:
    """A folder of 32 images whose heights and widths are `sizes` by turns."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    rows = []
    for i in range(32):
        group, label = own_images.CELLS[i % 4]
        values = np.full(sizes[i % len(sizes)], 9 * i, dtype=np.uint16)
        for kind in ("images", "masks"):
            (folder / kind / f"{i}.png").write_bytes(own_images.png_bytes(values + (kind == "masks")))
        rows.append({"image": f"{i}.png", "label": label, "group": group})
    own_images.write_csv(folder / "table.csv", rows)
    return folder


@pytest.mark.parametrize(
    ("sizes", "side"),
    [([(64, 64)], 64), ([(24, 28)], 28), ([(6, 7)], 8), ([(28, 65)], 64), ([(28, 28), (29, 28)], 64)],
)
def test_images_keep_a_size_that_they_share_up_to_64(sizes, side, tmp_path):
    folder = same_folder(tmp_path / "set", sizes)
    config = resolve({"dataset": f"folder:{folder}"})
    assert config.columns()["hp.image_size"] == side
    assert config.blur_scale == (2 if side == 64 else 1)
    dataset = find_dataset(config.dataset)
    for options in (dataset.Options(**config.dataset_options), dataset.Options()):
        train = dataset(options, 1.0, 0).splits()["train"]
        assert train.images.shape[1:] == train.masks.shape[1:] == (1, side, side)


def coloured(folder: Path, share: float, images: int = 32) -> str:
    """A dataset of RGB files; a `share` of them has colours, the others have three equal channels."""
    own_images.make_folder(folder, images)
    for i in range(images):
        image, _ = own_images.drawn(i, *own_images.CELLS[i // 2 % 4])
        values = np.repeat(np.rint(255 * image).astype(np.uint8)[:, :, None], 3, axis=2)
        values[:, :, 2] //= 1 + (i % 4 < 4 * share)
        (folder / f"images/x{i}.png").write_bytes(own_images.png_bytes(values))
    table = (folder / "table.csv").read_text()
    (folder / "table.csv").write_text(re.sub(r"\.(jpg|dcm|npy)", ".png", table))
    return f"folder:{folder}"


@pytest.mark.parametrize(("share", "channels"), [(0, 1), (0.25, 1), (0.5, 3), (1, 3)])
def test_images_keep_their_colours_and_the_key_says_so(share, channels, tmp_path):
    place = coloured(tmp_path / "set", share)
    config = resolve({"dataset": place})
    assert config.columns()["hp.channels"] == channels
    # Trials were grey, with channels=1 in their key: those of grey files keep it, and those of colours by saying so.
    assert config.trial_key == key(place, channels=channels) != key(place, channels=4 - channels)
    dataset = find_dataset(config.dataset)
    train = dataset(dataset.Options(), 1.0, 0).splits()["train"].images[:]
    assert train.shape[1] == channels
    assert (train[:, 0] != train[:, -1]).any() == (channels == 3)


def test_the_key_of_a_recorded_trial_is_still_the_same():
    # As computed before colours became a default and columns a setting.
    recorded = {"channels": 1, "image_size": 20, "content": "0123456789abcdef0123456789abcdef"}
    assert key("folder:/nowhere", **recorded) == "d3abee4218e1cc10"


@pytest.mark.parametrize(
    ("image", "mask", "drawn_on"),
    [(6, 1, "shown"), (6, 1, "stored"), (3, 3, "stored"), (8, 6, "own"), (1, 6, "stored"), (5, 1, "shown")],
)
def test_a_turned_image_and_its_mask_coincide(image, mask, drawn_on, small):
    """The mask is the bright part of a dark photograph, as phones store it, however the mask is stored."""
    shown = np.zeros((24, 16), np.uint8)
    shown[2:8, 3:15] = 255

    def stored(orientation: int) -> np.ndarray:
        # Each is its own inverse except for the quarter turns, which undo each other.
        back = {6: 8, 8: 6}.get(orientation, orientation)
        return ImageFile(shown[:, :, None], 0.0, 255.0, "").turned(back).values.squeeze()

    def jpeg(values: np.ndarray, orientation: int) -> bytes:
        tags = Image.Exif()
        tags[0x0112] = orientation
        return own_images.pillow_bytes(np.ascontiguousarray(values), "JPEG", quality=95, exif=tags.tobytes())

    (small / "images/x1.jpg").write_bytes(jpeg(stored(image), image))
    drawn = {"shown": shown, "stored": stored(image if mask == 1 else mask), "own": stored(mask)}[drawn_on]
    (small / "masks/x1.png").unlink(missing_ok=True)
    (small / "masks/x1.jpg").write_bytes(jpeg(drawn, mask))
    dataset = opened(f"folder:{small}", fit="pad", image_size=24)
    decoded = dataset.decoded()
    np.testing.assert_array_equal(decoded.masks[1], decoded.pixels[1, 0] > 2**15)
    assert decoded.masks[1, 2:8, 7:19].all()
    assert decoded.masks[1].sum() == 72
    assert any("1 turned upright" in note for note in dataset.notes()) == (image != 1)
