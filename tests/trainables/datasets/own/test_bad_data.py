"""Unusable data are refused before any training, with file and row, what is allowed and how to fix it."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from PIL import Image
from support import own_images

from trainables import resolve
from trainables.core.errors import ConfigurationError, Problems
from trainables.core.files import Files
from trainables.datasets import find_dataset
from trainables.datasets.__main__ import summary


def edit(old: str, new: str, count: int = -1) -> Callable[[Path], object]:
    return lambda folder: (folder / "table.csv").write_text((folder / "table.csv").read_text().replace(old, new, count))


def put(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(data)


def edited(change: Callable[[int, list[str]], object], header: str = "") -> Callable[[Path], object]:
    """change(i, cells) edits row i of the table, [image, label, group, subject]; `header` is added to the first row."""

    def edit_rows(folder: Path) -> None:
        first, *lines = (folder / "table.csv").read_text().splitlines()
        rows = [line.split(",") for line in lines]
        for i, cells in enumerate(rows):
            change(i, cells)
        (folder / "table.csv").write_text("\n".join([first + header, *map(",".join, rows)]) + "\n")

    return edit_rows


def column(name: str, values: Callable[[int], str]) -> Callable[[Path], object]:
    return edited(lambda i, cells: cells.append(values(i)), f",{name}")


def boxes(text: str) -> Callable[[Path], object]:
    return column("boxes", lambda i: text)


def turned(orientation: int) -> bytes:
    """A square JPEG that programs turn before they show it."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    return own_images.pillow_bytes(np.zeros((20, 20), np.uint8), "JPEG", exif=tags.tobytes())


MASK = own_images.png_bytes(np.zeros((9, 7), np.uint8))
LABELS = own_images.png_bytes(np.tile(np.array([0, 1, 2, 3], np.uint8), (20, 5)))

# Damage to a good folder, and pieces that the message must have, in order.
BAD: list[tuple[Callable[[Path], object], str]] = [
    (put("masks/x2.png", MASK), "table.csv row 4 … masks/x2.png … 7 x 9 … 20 x 20"),
    (put("masks/x2.png", LABELS), "row 4 … x2.png has the values 0, 1, 2, 3 … 0 outside"),
    (put("images/x3.npy", b"\x93NUMPY"), "row 5 … x3.npy cannot be read … replace"),
    (put("images/x3.npy", b"hello"), "row 5 … x3.npy is none of PNG … convert it"),
    (edit("x4.png", "y4.png"), "row 6 … no image y4.png … put it there"),
    (edit("x4.png", "x4"), "row 6 … no image x4 beside … did you mean x4.png?"),
    (edit("x4.png", "images/X4.PNG"), "no image images/X4.PNG … mean images/x4.png?"),
    (edit("x5.jpg,normal", "x5.jpg,"), "row 7 … no label … fill it in"),
    (edit(",sick,", ",normal,"), "label is 'normal' in every row … two classes"),
    (edit(",right,", ",left,"), "group is 'left' in every row … site, view, device"),
    (edit("normal,left", "normal,top", 1), "3 groups … 2 labels … cue_groups="),
    (edit("sick,left", "sick,right"), "label 'sick' with group 'left' are too few: 0, but n_train=4 needs 1; add such"),
    (
        edited(lambda i, cells: cells.__setitem__(2, {"normal": "left", "sick": "right"}[cells[1]])),
        "coincide: every image of label 'normal' has group 'left', every … Add such images",
    ),
    (
        edited(lambda i, cells: cells.__setitem__(3, "p0" if i < 17 else cells[3])),
        "too few: 0 … add such images of other subjects. Subject 'p0' has 17 of all 32 images … use fewer",
    ),
    (
        edited(lambda i, cells: cells.__setitem__(3, "p9" if cells[1:3] == ["sick", "left"] else cells[3])),
        "label 'sick' with group 'left' are too few: 0 … Subject 'p9' has 8 of these 8 images",
    ),
    (edit("label", "group", 1), "columns 'group' and 'group' … keep one"),
    (
        edit("image,label", "filename,diagnosis", 1),
        "no column 'image' or 'file' and no column 'label' or 'class' … mean 'image' by 'filename', 'label' by "
        "'diagnosis'? Then set columns=filename:image,diagnosis:label. … allowed are image, file, label, class",
    ),
    (edit("group,subject", "age,sex", 1), "unknown columns 'age', 'sex'. Allowed … ignore_columns=age,sex"),
    (edit(",", ";"), "table.csv are separated by semicolons … 'image;label;group;subject' … by commas"),
    (edit("x0.png,normal", "x0.png,Normal"), "'Normal' (1 x, first in  … row 2) and 'normal' (15 x … only in case"),
    (edit("x0.png,normal", "x0.png,noraml"), "2 groups (16 x left … 3 labels (1 x noraml … misspelt … cue_groups="),
    (edit("x2.dcm,sick", '"x2.dcm,sick'), "row 4 has a line break within a cell; close its quotation mark"),
    (put("table.csv", b"image,label\na.png," + b"x" * 2**18), "row 2 cannot be read (field larger than … fix the row"),
    (put("table.csv", b"x" * 10_000_000 + b"\nimage,label\n"), "row 1 cannot be read (field larger than"),
    (put("table.csv", b",".join(b"c%d" % i for i in range(1_000_000))), "row 1 has 1,000,000 cells … at most 100,000"),
    (put("table.csv", b"image,label\n" + b"a," * 1_000_000), "row 2 has 1000001 cells, the header 2"),
    (put("table.csv", b"image,label\nx0.png," + b"a" * 5000), "row 2 has a label of 5,000 characters; at most 4,096"),
    (put("table.csv", b"image,la\0bel\nx0.png,a"), "table.csv has no column 'label' … 'image,la\\x00bel'"),
    (put("table.csv", "image,label\nx0.png,a".encode("utf-16")), "row 1 is not text in UTF-8 … save it as such"),
    (put("table.csv", b"x0.png,a\nx1.jpg,b\n"), "no column 'image' … row 1 is 'x0.png,a' … first row; allowed are"),
    (edit(",left,p0", "", 1), "row 2 … 2 cells … header 4"),
    (edit("x1.jpg", "x0.png"), "row 3 … x0.png … row 2 … keep one"),
    (put("table.csv", b"image,label\nM\xfcller.png,a"), "row 2 is not text in UTF-8 … save it as such"),
    (put("table.csv", b"image,label\n"), "has no rows"),
    (put("other.csv", b""), "other.csv, table.csv … manifest:FILE.csv"),
    (column("split", lambda i: ("train", "valid", "test")[i % 3]), "'p0' is in split 'train' ( … row 2) … one split"),
    (column("split", lambda i: "dev"), "row 2 … split 'dev' … train, valid, test"),
    (column("split", lambda i: ("train", "test")[i // 2 % 2]), "no images of split valid … leave split out"),
    (boxes("1 2 3"), "row 2 … '1 2 3' … x y width height"),
    (boxes("1 2 0 3"), "row 2 … width and height above 0"),
    (boxes("1 2 30 3"), "row 2 … reaches out of the image … 20 x 20"),
    (boxes("20 3 1 4"), "row 2 … 20 3 1 4 covers no pixel of the image, which is 20 x 20"),
    (boxes("0.2 0.3 0.4 0.25"), "row 2 … '0.2 0.3 0.4 0.25' seems … boxes are in pixels"),
    (boxes("9 8 18 17"), "row 2 … 9 8 18 17 reaches out … corners … write 9 8 9 9,"),
    (
        lambda f: (put("images/x1.jpg", turned(6))(f), boxes("1 2 3 4")(f)),
        "row 3: boxes of  … x1.jpg may count pixels as stored or as shown … EXIF orientation 6 … upright",
    ),
    (put("images/x1.jpg", turned(8)), "row 3: mask  … x1.png may be drawn on … as stored or as shown … upright"),
    (edit("x2.dcm", "a\0/x2.dcm"), "row 4 … 'a\\x00/x2.dcm' has a NUL byte … correct"),
    (column("mask", lambda i: "m.png"), "row 2 … no mask m.png of x0.png … in masks/ … leave the cell"),
    (
        lambda f: ((f / "table.csv").rename(f / "notes.txt"), (f / "more").mkdir()),
        "has no table, but files and the folders images, masks, more; add a CSV … 'a.png,normal,scanner1'",
    ),
    (lambda f: shutil.rmtree(f / "masks"), "no image of label 'sick' in test_id has a mask (x … put masks into masks/"),
]


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("good") / "set"
    own_images.make_folder(folder, images=32)
    return folder


@pytest.fixture
def folder(good, tmp_path) -> Path:
    """A copy of the good folder that a test may damage."""
    return shutil.copytree(good, tmp_path / "set")


def content(folder: Path, **settings: object) -> str:
    return resolve({"dataset": f"folder:{folder}", **settings}).dataset_options["content"]


def check(folder: Path) -> None:
    """What happens before any training: the configuration, then a look at the data."""
    config = resolve({"dataset": f"folder:{folder}"})
    dataset = find_dataset(config.dataset)
    dataset(dataset.Options(**config.dataset_options), 1.0, 0).check()


@pytest.mark.parametrize(("damage", "pieces"), BAD, ids=[pieces for _, pieces in BAD])
def test_bad_data_are_refused_with_file_and_row(damage, pieces, folder):
    damage(folder)
    # Without re.DOTALL the whole message is one line.
    with pytest.raises(ConfigurationError, match=".*".join(map(re.escape, pieces.split(" … ")))):
        check(folder)


@pytest.mark.parametrize("place", ["/dev/full", "/dev/zero", "/proc/version", "pipe"])
def test_a_device_a_pipe_and_a_file_of_the_kernel_are_not_read(place, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match=r"is a device, a pipe or a file .* name a regular file"):
        resolve({"dataset": f"manifest:{tmp_path / place}"})


def test_a_file_too_large_is_not_read(folder):
    os.truncate(folder / "images/x3.npy", 2**40)
    with pytest.raises(
        ConfigurationError, match=r"row 5: image x3\.npy: .* has 1,048,576 MiB; at most 256 MiB are read"
    ):
        check(folder)


def test_an_order_mark_does_not_matter(good, folder):
    (folder / "table.csv").write_bytes(b"\xef\xbb\xbf" + (good / "table.csv").read_bytes())
    assert content(folder) == content(good)


def test_several_problems_are_shown_at_a_time(folder):
    for i in range(0, 20, 4):
        (folder / f"images/x{i}.png").write_bytes(b"?")
    with pytest.raises(ConfigurationError, match=r"row 2: .*row 6: .*row 10: .*and \d+ more"):
        check(folder)


def test_columns_can_be_renamed(good, folder):
    edit("image,label,group,subject", "File Name,diagnosis,group,who", 1)(folder)
    assert "columns" not in resolve({"dataset": f"folder:{good}"}).dataset_options
    names = "File Name:image, diagnosis:label,who:subject"
    renamed = resolve({"dataset": f"folder:{folder}", "columns": names})
    assert renamed.dataset_options["content"] == content(good)
    assert renamed.dataset_options["columns"] == names
    for wrong, message in (
        ("diagnosis", r"bad columns 'diagnosis' .*write NAME:COLUMN .*one of image, file, label"),
        ("diagnose:label", r"table\.csv has no column 'diagnose', which columns=diagnose:label names: row 1 is 'File"),
        ("File Name:image,who:subject", r"Then set columns=File Name:image,who:subject,diagnosis:label\."),
        (f"{names},group:label", r"has columns 'diagnosis' and 'group' for the label; keep one"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            content(folder, columns=wrong)


def test_files_that_macos_adds_are_no_table_image_or_mask(good, folder):
    for name in ("._table.csv", "images/._x0.png", "masks/._x0.png", "__MACOSX/._table.csv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"\0\5\x16\7")
    assert content(folder) == content(good)
    dataset = find_dataset(f"folder:{folder}")
    assert not [line for line in summary(dataset(dataset.Options(), 1.0, 0)) if line.startswith("Not in use")]


@pytest.mark.parametrize(
    "place",
    ["mask/{}.png", "segmentations/{}_seg.png", "images/{}_segmentation.png", "masks/{}_mask.png", "masks/{}.PNG"],
)
def test_masks_may_have_any_common_name(place, good, folder):
    masks = [(path.stem, path.read_bytes()) for path in (folder / "masks").iterdir()]
    shutil.rmtree(folder / "masks")
    for stem, data in masks:
        path = folder / place.format(stem)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    assert content(folder) == content(good)


def test_columns_can_be_ignored(good, folder):
    column("age", str)(folder)
    assert content(folder, ignore_columns="age") == content(folder, ignore_columns="*") == content(good)
    assert content(folder, ignore_columns="age,subject") != content(good)


@pytest.mark.parametrize("ends", ["\r", "\r\n", "\n,,,\n", "\n\n"])
def test_line_ends_and_blank_lines_do_not_matter(ends, good, folder):
    (folder / "table.csv").write_bytes((good / "table.csv").read_text().replace("\n", ends).encode())
    assert content(folder) == content(good)
    (folder / "images/x1.jpg").unlink()
    row = 3 if ends in ("\r", "\r\n") else 5
    with pytest.raises(ConfigurationError, match=rf"table\.csv row {row}: there is no image x1\.jpg"):
        check(folder)


class TablesAlone(Files):
    """Files of which a table exists, and any other read fails the test."""

    def __init__(self, place: str, table: str):
        super().__init__(place)
        self.table = table

    def read(self, location: str) -> bytes:
        assert location.endswith(".csv")
        return self.table.encode()

    def names(self, folder: str) -> set[str]:
        return {"table.csv"} if folder == "s3://study/set" else set()

    def find(self, location: str) -> str:
        assert location.startswith("s3://study/"), location
        return location


@pytest.mark.parametrize("dataset", ["folder:s3://study/set", "manifest:s3://study/set/table.csv"])
@pytest.mark.parametrize("field", ["image", "mask"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../../private/x.png", "leads out of the table's bucket study; write a path within it, or s3://"),
        ("/etc/x.png", "is a path of this machine, and the table is in S3; write a path from the table"),
        ("~/x.png", "is a path of this machine"),
    ],
)
def test_a_table_in_s3_must_not_name_files_of_the_machine_or_of_other_buckets(name, reason, field, dataset):
    cells = {"image": "x.png", "mask": "m.png", field: name}
    files, problems = TablesAlone(dataset, f"image,mask,label\n{cells['image']},{cells['mask']},a\n"), Problems()
    recipe = find_dataset(dataset)
    assert recipe.read_rows(recipe.Options(), files, problems) == []
    assert len(problems) == 1
    assert problems[0].startswith(f"s3://study/set/table.csv row 2: {name} {reason}")


def test_a_table_in_s3_may_name_its_bucket_and_others_as_s3():
    names = ["x.png", "../other/x.png", "s3://public/x.png"]
    files = TablesAlone("s3", "image,label\n" + "".join(f"{name},a\n" for name in names))
    recipe = find_dataset("manifest:s3://study/set/table.csv")
    rows = recipe.read_rows(recipe.Options(), files, Problems())
    assert [row.image for row in rows] == ["s3://study/set/x.png", "s3://study/other/x.png", "s3://public/x.png"]


@pytest.mark.parametrize(("of_files", "of_table"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_an_accented_letter_may_be_one_character_or_two(of_files, of_table, good, folder):
    for path in [*(folder / "images").iterdir(), *(folder / "masks").iterdir()]:
        path.rename(path.with_name(normalize(of_files, path.name.replace("x", "\u00e4"))))
    letter = normalize(of_table, "\u00e4")
    edit("\nx", f"\n{letter}")(folder)
    assert content(folder) == content(good)
    masked = {path.name for path in (good / "masks").iterdir()}
    column("mask", lambda i: f"{letter}{i}.png" if f"x{i}.png" in masked else "")(folder)
    assert content(folder) == content(good)
