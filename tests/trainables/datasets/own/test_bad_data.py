"""Unusable data are refused before any training, with file and row, what is allowed and how to fix it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from PIL import Image
from support import own_images

from trainables import resolve
from trainables.core.errors import ConfigurationError
from trainables.datasets import find_dataset
from trainables.datasets.__main__ import summary
from trainables.datasets.own.files import Files
from trainables.datasets.own.table import Problems


def edit(old: str, new: str, count: int = -1) -> Callable[[Path], object]:
    return lambda folder: (folder / "table.csv").write_text((folder / "table.csv").read_text().replace(old, new, count))


def put(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(data)


def column(name: str, values: Callable[[int], str]) -> Callable[[Path], object]:
    def add(folder: Path) -> None:
        header, *lines = (folder / "table.csv").read_text().splitlines()
        lines = [f"{line},{values(i)}" for i, line in enumerate(lines)]
        (folder / "table.csv").write_text("\n".join([f"{header},{name}", *lines]) + "\n")

    return add


def edited(change: Callable[[int, list[str]], object]) -> Callable[[Path], object]:
    """change(i, cells) edits row i of the table, [image, label, group, subject]."""

    def edit_rows(folder: Path) -> None:
        header, *lines = (folder / "table.csv").read_text().splitlines()
        rows = [line.split(",") for line in lines]
        for i, cells in enumerate(rows):
            change(i, cells)
        (folder / "table.csv").write_text("\n".join([header, *map(",".join, rows)]) + "\n")

    return edit_rows


def turned(orientation: int, side: int = 20) -> bytes:
    """A JPEG of 20 x `side` pixels that programs turn before they show it."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    return own_images.pillow_bytes(np.zeros((side, 20), np.uint8), "JPEG", exif=tags.tobytes())


MASK = own_images.png_bytes(np.zeros((9, 7), np.uint8))
LABELS = own_images.png_bytes(np.tile(np.array([0, 1, 2, 3], np.uint8), (20, 5)))

# Damage to a good folder, and pieces that the message must have, in order.
BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "mask of another size": (put("masks/x2.png", MASK), "table.csv row 4 … masks/x2.png … 7 x 9 … 20 x 20"),
    "mask of labels": (put("masks/x2.png", LABELS), "row 4 … x2.png has the values 0, 1, 2, 3 … 0 outside"),
    "unreadable image": (put("images/x3.npy", b"\x93NUMPY"), "row 5 … x3.npy cannot be read … replace"),
    "not an image": (put("images/x3.npy", b"hello"), "row 5 … x3.npy is none of PNG … convert it"),
    "unreadable mask": (put("masks/x2.png", b""), "row 4 … x2.png is none of PNG"),
    "no such image": (edit("x4.png", "y4.png"), "row 6 … no image y4.png … put it there"),
    "label missing": (edit("x5.jpg,normal", "x5.jpg,"), "row 7 … no label … fill it in"),
    "one label": (edit(",sick,", ",normal,"), "label is 'normal' in every row … two classes"),
    "group constant": (edit(",right,", ",left,"), "group is 'left' in every row … site, view, device"),
    "group missing": (edit("normal,left", "normal,", 1), "row 2 … no group"),
    "too many groups": (edit("normal,left", "normal,top", 1), "3 groups … 2 labels … cue_groups="),
    "empty cell": (
        edit("sick,left", "sick,right"),
        "label 'sick' with group 'left' are too few: 0, but n_train=4 needs 1; add such images",
    ),
    "label and group coincide": (
        edited(lambda i, cells: cells.__setitem__(2, {"normal": "left", "sick": "right"}[cells[1]])),
        "label and group coincide: every image of label 'normal' has group 'left', every image of label "
        "'sick' has group 'right' … no severity can be drawn … Add such images … give splits",
    ),
    "half of the images of one subject": (
        edited(lambda i, cells: cells.__setitem__(3, "p0" if i < 17 else cells[3])),
        "are too few: 0 … add such images of other subjects. Subject 'p0' has 17 of all 32 images (53%), and "
        "all images of a  … use fewer of them, or correct the column 'subject'",
    ),
    "a group of one subject": (
        edited(lambda i, cells: cells.__setitem__(3, "p9" if cells[1:3] == ["sick", "left"] else cells[3])),
        "label 'sick' with group 'left' are too few: 0 … Subject 'p9' has 8 of these 8 images (100%)",
    ),
    "no label column": (edit("label", "group", 1), "columns 'group' and 'group' … keep one"),
    "wrong column": (edit("group", "gruop", 1), "unknown column 'gruop' … mean 'group' by 'gruop'? … Allowed are"),
    "wrong label column": (
        edit("image,label", "filename,diagnosis", 1),
        "no column 'image' or 'file' and no column 'label' or 'class' … row 1 is "
        "'filename,diagnosis,group,subject' … mean 'image' by 'filename', 'label' by 'diagnosis'? Then set "
        "columns=filename:image,diagnosis:label. … allowed are image, file, label, class",
    ),
    "missing label column": (
        lambda f: (f / "table.csv").write_text("image,group\nx0.png,left\n"),
        "no column 'label' or 'class': row 1 is 'image,group'. Name the columns … allowed are image",
    ),
    "column of another name": (
        edit("subject", "patient_id", 1),
        "unknown column 'patient_id' … mean 'subject' by 'patient_id'? … ignore_columns=patient_id",
    ),
    "columns of a spreadsheet": (
        edit("group,subject", "age,sex", 1),
        "unknown columns 'age', 'sex'. Allowed are image, … remove the others, or set ignore_columns=age,sex",
    ),
    "no header": (
        edit("image,label,group,subject\n", ""),
        "no column 'image' … row 1 is 'x0.png,normal … in the first row",
    ),
    "semicolons": (edit(",", ";"), "table.csv are separated by semicolons … 'image;label;group;subject' … by commas"),
    "tabs": (edit(",", "\t"), "table.csv are separated by tabs … 'image\\tlabel\\tgroup … by commas"),
    "label in capitals": (
        edit("x0.png,normal", "x0.png,Normal"),
        "the labels 'Normal' (1 x, first in  … row 2) and 'normal' (15 x, first in  … row 3) … only in case … alike",
    ),
    "group with blanks": (
        edit("sick,left,p1", "sick,le ft,p1"),
        "the groups 'left' (12 x … 'le ft' (4 x … row 4) … case or blanks; write them alike",
    ),
    "label misspelt": (
        edit("x0.png,normal", "x0.png,noraml"),
        "2 groups (16 x left, 16 x right) … 3 labels (1 x noraml, 15 x normal, 16 x sick) … misspelt … cue_groups=",
    ),
    "open quotation mark": (
        edit("x2.dcm,sick", '"x2.dcm,sick'),
        "row 4 has a line break within a cell; close its quotation mark",
    ),
    "field too long": (
        lambda f: (f / "table.csv").write_text("image,label\na.png," + "x" * 2**18),
        "row 2 cannot be read (field larger than field limit … fix the row",
    ),
    "image without suffix": (edit("x4.png", "x4"), "row 6 … no image x4 beside … did you mean x4.png?"),
    "image in capitals": (edit("x4.png", "images/X4.PNG"), "no image images/X4.PNG … mean images/x4.png?"),
    "folders alone": (
        lambda f: (f / "table.csv").unlink(),
        "has no table, only the folders images, masks; add a CSV … 'image,label,group' … 'a.png,normal,scanner1'",
    ),
    "short row": (edit(",left,p0", "", 1), "row 2 … 2 cells … header 4"),
    "long row": (edit("p0\n", "p0,9\n", 1), "row 2 … 5 cells … header 4"),
    "twice": (edit("x1.jpg", "x0.png"), "row 3 … x0.png … row 2 … keep one"),
    "not text": (put("table.csv", b"image,label\nM\xfcller.png,a"), "row 2 is not text in UTF-8 … save it as such"),
    "empty table": (put("table.csv", b"image,label\n"), "has no rows"),
    "two tables": (put("other.csv", b""), "other.csv, table.csv … manifest:FILE.csv"),
    "subject in two splits": (
        column("split", lambda i: ("train", "valid", "test")[i % 3]),
        "subject 'p0' is in split 'train' ( … row 2) … 'valid' ( … row 3) … one split",
    ),
    "unknown split": (column("split", lambda i: "dev"), "row 2 … split 'dev' … train, valid, test"),
    "missing split": (
        column("split", lambda i: ("train", "test")[i // 2 % 2]),
        "no images of split valid … leave split out",
    ),
    "bad box": (column("boxes", lambda i: "1 2 3"), "row 2 … '1 2 3' … x y width height"),
    "box without area": (column("boxes", lambda i: "1 2 0 3"), "row 2 … width and height above 0"),
    "box outside": (column("boxes", lambda i: "1 2 30 3"), "row 2 … reaches out of the image … 20 x 20"),
    "box in shares": (
        column("boxes", lambda i: "0.2 0.3 0.4 0.25"),
        "row 2 … '0.2 0.3 0.4 0.25' seems … boxes are in pixels",
    ),
    "box as corners": (
        column("boxes", lambda i: "9 8 18 17"),
        "row 2 … 9 8 18 17 reaches out … two corners … write 9 8 9 9,",
    ),
    "box of a turned image": (
        lambda f: (put("images/x1.jpg", turned(6))(f), column("boxes", lambda i: "1 2 3 4")(f)),
        "row 3: boxes of  … x1.jpg may count pixels as stored or as shown … EXIF orientation 6 … upright",
    ),
    "mask of a turned square": (
        put("images/x1.jpg", turned(8)),
        "row 3: mask  … x1.png may be drawn on its image as stored or as shown: the image is stored turned … upright",
    ),
    "mask of an upside-down image": (
        lambda f: (
            put("images/x1.jpg", turned(3, 30))(f),
            put("masks/x1.png", own_images.png_bytes(np.zeros((30, 20), np.uint8)))(f),
        ),
        "row 3: mask  … (EXIF orientation 3), the mask is not, and the sizes fit both; save both upright",
    ),
    "one pixel": (put("images/x3.npy", own_images.npy_bytes(np.ones((1, 1)))), "row 5 … is 1 x 1 pixels, too"),
    "box beside the last pixel": (
        column("boxes", lambda i: "20 3 1 4"),
        "row 2 … 20 3 1 4 covers no pixel of the image, which is 20 x 20",
    ),
    "zero byte": (edit("x2.dcm", "a\0/x2.dcm"), "row 4 … 'a\\x00/x2.dcm' has a NUL byte … correct"),
    "no mask there": (
        column("mask", lambda i: "m.png"),
        "row 2 … no mask m.png of x0.png … in masks/ … leave the cell",
    ),
    "mask in capitals": (column("mask", lambda i: "X2.png"), "no mask X2.png … did you mean x2.png?"),
    "no masks": (
        lambda f: shutil.rmtree(f / "masks"),
        "no image of label 'sick' in test_id has a mask (x …  has none) … put masks into masks/, each named as its",
    ),
}


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


@pytest.mark.parametrize("case", BAD)
def test_bad_data_are_refused_with_file_and_row(case, folder):
    damage, pieces = BAD[case]
    damage(folder)
    with pytest.raises(ConfigurationError) as caught:
        check(folder)
    message, start = str(caught.value), 0
    assert "\n" not in message
    for piece in pieces.split(" … "):
        assert piece in message[start:], f"{piece!r} is missing, or out of order, in: {message}"
        start = message.index(piece, start) + len(piece)


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
        ("diagnosis:sickness", r"bad columns .*one of image, file, label"),
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


def test_a_split_may_be_in_upper_or_lower_case(folder):
    column("split", lambda i: ("Training", "VAL", "test ")[i // 8 % 3])(folder)
    dataset = find_dataset(f"folder:{folder}")
    rows, _ = dataset.read(dataset.Options())
    assert {row.split for row in rows} == {"train", "valid", "test"}


def test_a_missing_mask_of_a_manifest_is_named_with_its_image(good):
    (good.parent / "list.csv").write_text("image,label,mask\nset/images/x0.png,a,m.png\nset/images/y.png,b,\n")
    with pytest.raises(ConfigurationError) as caught:
        resolve({"dataset": f"manifest:{good.parent / 'list.csv'}"})
    assert "row 2: mask of image x0.png: there is no file" in str(caught.value)
    assert "m.png; correct its name or put it there" in str(caught.value)
    assert "row 3: image y.png: there is no file" in str(caught.value)


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
        ("../../private/x.png", "../../private/x.png leads out of the table's bucket study; write a path within it"),
        ("../../../private/x.png", "leads out of the table's bucket study; write a path within it, or s3://"),
        ("/etc/x.png", "/etc/x.png is a path of this machine, and the table is in S3; write a path from the table"),
        ("~/x.png", "~/x.png is a path of this machine, and the table is in S3"),
    ],
)
def test_a_table_in_s3_must_not_name_files_of_the_machine_or_of_other_buckets(name, reason, field, dataset):
    cells = {"image": "x.png", "mask": "m.png", field: name}
    files, problems = TablesAlone(dataset, f"image,mask,label\n{cells['image']},{cells['mask']},a\n"), Problems()
    recipe = find_dataset(dataset)
    assert recipe.read_rows(recipe.Options(), files, problems) == []
    assert len(problems) == 1
    assert problems[0].startswith("s3://study/set/table.csv row 2: ")
    assert reason in problems[0]


def test_a_table_in_s3_may_name_its_bucket_and_others_as_s3():
    names = ["x.png", "../other/x.png", "s3://public/x.png"]
    files = TablesAlone("s3", "image,label\n" + "".join(f"{name},a\n" for name in names))
    recipe = find_dataset("manifest:s3://study/set/table.csv")
    rows = recipe.read_rows(recipe.Options(), files, Problems())
    assert [row.image for row in rows] == ["s3://study/set/x.png", "s3://study/other/x.png", "s3://public/x.png"]


def test_a_folder_of_images_without_a_table(good, tmp_path):
    folder = shutil.copytree(good / "images", tmp_path / "set")
    (folder / "more").mkdir()
    with pytest.raises(ConfigurationError, match="set has no table, but files and the folders more; add a CSV"):
        check(folder)


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


def test_a_mask_of_exactly_its_images_name_comes_first(folder):
    one_character, two_characters = (normalize(form, "\u00e42") for form in ("NFC", "NFD"))
    (folder / "images/x2.dcm").rename(folder / f"images/{one_character}.dcm")
    (folder / "masks/x2.png").rename(folder / f"masks/{one_character}.png")
    (folder / f"masks/{two_characters}.png").write_bytes(LABELS)
    edit("x2.dcm", f"{one_character}.dcm")(folder)
    check(folder)


def test_an_empty_mask_column_leaves_masks_to_their_names(good, folder):
    column("mask", lambda i: "")(folder)
    assert content(folder) == content(good)
