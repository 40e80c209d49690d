"""Unusable data are refused before any training, with file and row, what is allowed and how to fix it."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from PIL import Image
from support import own_images

from trainables import resolve
from trainables.core.errors import ConfigurationError
from trainables.datasets import find_dataset
from trainables.datasets.own.files import Files
from trainables.datasets.own.summary import unused_files
from trainables.datasets.own.table import Problems


@dataclass(frozen=True)
class Bad:
    """What is done to a good folder, and pieces that the message must have."""

    damage: Callable[[Path], object]
    pieces: tuple[str, ...]


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

BAD = {
    "mask of another size": Bad(put("masks/x2.png", MASK), ("table.csv row 4", "masks/x2.png", "7 x 9", "20 x 20")),
    "mask of labels": Bad(put("masks/x2.png", LABELS), ("row 4", "x2.png has the values 0, 1, 2, 3", "0 outside")),
    "unreadable image": Bad(put("images/x3.npy", b"\x93NUMPY"), ("row 5", "x3.npy cannot be read", "replace")),
    "not an image": Bad(put("images/x3.npy", b"hello"), ("row 5", "x3.npy is none of PNG", "convert it")),
    "unreadable mask": Bad(put("masks/x2.png", b""), ("row 4", "x2.png is none of PNG")),
    "no such image": Bad(edit("x4.png", "y4.png"), ("row 6", "no image y4.png", "put it there")),
    "label missing": Bad(edit("x5.jpg,normal", "x5.jpg,"), ("row 7", "no label", "fill it in")),
    "one label": Bad(edit(",sick,", ",normal,"), ("label is 'normal' in every row", "two classes")),
    "group constant": Bad(edit(",right,", ",left,"), ("group is 'left' in every row", "site, view, device")),
    "group missing": Bad(edit("normal,left", "normal,", 1), ("row 2", "no group")),
    "too many groups": Bad(edit("normal,left", "normal,top", 1), ("3 groups", "2 labels", "cue_groups=")),
    "empty cell": Bad(
        edit("sick,left", "sick,right"),
        ("label 'sick' with group 'left' are too few: 0, but n_train=4 needs 1; add such images",),
    ),
    "label and group coincide": Bad(
        edited(lambda i, cells: cells.__setitem__(2, {"normal": "left", "sick": "right"}[cells[1]])),
        (
            "label and group coincide: every image of label 'normal' has group 'left', every image of label 'sick' has "
            "group 'right'",
            "no severity can be drawn",
            "Add such images",
            "give splits",
        ),
    ),
    "half of the images of one subject": Bad(
        edited(lambda i, cells: cells.__setitem__(3, "p0" if i < 17 else cells[3])),
        (
            "are too few: 0",
            "add such images of other subjects. Subject 'p0' has 17 of all 32 images (53%), and all images of a ",
            "use fewer of them, or correct the column 'subject'",
        ),
    ),
    "a group of one subject": Bad(
        edited(lambda i, cells: cells.__setitem__(3, "p9" if cells[1:3] == ["sick", "left"] else cells[3])),
        ("label 'sick' with group 'left' are too few: 0", "Subject 'p9' has 8 of these 8 images (100%)"),
    ),
    "no label column": Bad(edit("label", "group", 1), ("columns 'group' and 'group'", "keep one")),
    "wrong column": Bad(
        edit("group", "gruop", 1), ("unknown column 'gruop'", "mean 'group' by 'gruop'?", "Allowed are")
    ),
    "wrong label column": Bad(
        edit("image,label", "filename,diagnosis", 1),
        (
            "no column 'image' or 'file' and no column 'label' or 'class'",
            "row 1 is 'filename,diagnosis,group,subject'",
            "mean 'image' by 'filename', 'label' by 'diagnosis'? Then set columns=filename:image,diagnosis:label.",
            "allowed are image, file, label, class",
        ),
    ),
    "missing label column": Bad(
        lambda f: (f / "table.csv").write_text("image,group\nx0.png,left\n"),
        ("no column 'label' or 'class': row 1 is 'image,group'. Name the columns", "allowed are image"),
    ),
    "column of another name": Bad(
        edit("subject", "patient_id", 1),
        ("unknown column 'patient_id'", "mean 'subject' by 'patient_id'?", "ignore_columns=patient_id"),
    ),
    "columns of a spreadsheet": Bad(
        edit("group,subject", "age,sex", 1),
        ("unknown columns 'age', 'sex'. Allowed are image,", "remove the others, or set ignore_columns=age,sex"),
    ),
    "no header": Bad(
        edit("image,label,group,subject\n", ""), ("no column 'image'", "row 1 is 'x0.png,normal", "in the first row")
    ),
    "semicolons": Bad(
        edit(",", ";"), ("table.csv are separated by semicolons", "'image;label;group;subject'", "by commas")
    ),
    "tabs": Bad(edit(",", "\t"), ("table.csv are separated by tabs", "'image\\tlabel\\tgroup", "by commas")),
    "label in capitals": Bad(
        edit("x0.png,normal", "x0.png,Normal"),
        (
            "the labels 'Normal' (1 x, first in ",
            "row 2) and 'normal' (15 x, first in ",
            "row 3)",
            "only in case",
            "alike",
        ),
    ),
    "group with blanks": Bad(
        edit("sick,left,p1", "sick,le ft,p1"),
        ("the groups 'left' (12 x", "'le ft' (4 x", "row 4)", "case or blanks; write them alike"),
    ),
    "label misspelt": Bad(
        edit("x0.png,normal", "x0.png,noraml"),
        (
            "2 groups (16 x left, 16 x right)",
            "3 labels (1 x noraml, 15 x normal, 16 x sick)",
            "misspelt",
            "cue_groups=",
        ),
    ),
    "open quotation mark": Bad(
        edit("x2.dcm,sick", '"x2.dcm,sick'), ("row 4 has a line break within a cell; close its quotation mark",)
    ),
    "field too long": Bad(
        lambda f: (f / "table.csv").write_text("image,label\na.png," + "x" * 2**18),
        ("row 2 cannot be read (field larger than field limit", "fix the row"),
    ),
    "image without suffix": Bad(edit("x4.png", "x4"), ("row 6", "no image x4 beside", "did you mean x4.png?")),
    "image in capitals": Bad(edit("x4.png", "images/X4.PNG"), ("no image images/X4.PNG", "mean images/x4.png?")),
    "folders alone": Bad(
        lambda f: (f / "table.csv").unlink(),
        ("has no table, only the folders images, masks; add a CSV", "'image,label,group'", "'a.png,normal,scanner1'"),
    ),
    "short row": Bad(edit(",left,p0", "", 1), ("row 2", "2 cells", "header 4")),
    "long row": Bad(edit("p0\n", "p0,9\n", 1), ("row 2", "5 cells", "header 4")),
    "twice": Bad(edit("x1.jpg", "x0.png"), ("row 3", "x0.png", "row 2", "keep one")),
    "not text": Bad(
        put("table.csv", b"image,label\nM\xfcller.png,a"), ("row 2 is not text in UTF-8", "save it as such")
    ),
    "empty table": Bad(put("table.csv", b"image,label\n"), ("has no rows",)),
    "two tables": Bad(put("other.csv", b""), ("other.csv, table.csv", "manifest:FILE.csv")),
    "subject in two splits": Bad(
        column("split", lambda i: ("train", "valid", "test")[i % 3]),
        ("subject 'p0' is in split 'train' (", "row 2)", "'valid' (", "row 3)", "one split"),
    ),
    "unknown split": Bad(column("split", lambda i: "dev"), ("row 2", "split 'dev'", "train, valid, test")),
    "missing split": Bad(
        column("split", lambda i: ("train", "test")[i // 2 % 2]), ("no images of split valid", "leave split out")
    ),
    "bad box": Bad(column("boxes", lambda i: "1 2 3"), ("row 2", "'1 2 3'", "x y width height")),
    "box without area": Bad(column("boxes", lambda i: "1 2 0 3"), ("row 2", "width and height above 0")),
    "box outside": Bad(column("boxes", lambda i: "1 2 30 3"), ("row 2", "reaches out of the image", "20 x 20")),
    "box in shares": Bad(
        column("boxes", lambda i: "0.2 0.3 0.4 0.25"), ("row 2", "'0.2 0.3 0.4 0.25' seems", "boxes are in pixels")
    ),
    "box as corners": Bad(
        column("boxes", lambda i: "9 8 18 17"), ("row 2", "9 8 18 17 reaches out", "two corners", "write 9 8 9 9,")
    ),
    "box of a turned image": Bad(
        lambda f: (put("images/x1.jpg", turned(6))(f), column("boxes", lambda i: "1 2 3 4")(f)),
        ("row 3: boxes of ", "x1.jpg may count pixels as stored or as shown", "EXIF orientation 6", "upright"),
    ),
    "mask of a turned square": Bad(
        put("images/x1.jpg", turned(8)),
        (
            "row 3: mask ",
            "x1.png may be drawn on its image as stored or as shown: the image is stored turned",
            "upright",
        ),
    ),
    "mask of an upside-down image": Bad(
        lambda f: (
            put("images/x1.jpg", turned(3, 30))(f),
            put("masks/x1.png", own_images.png_bytes(np.zeros((30, 20), np.uint8)))(f),
        ),
        ("row 3: mask ", "(EXIF orientation 3), the mask is not, and the sizes fit both; save both upright"),
    ),
    "one pixel": Bad(put("images/x3.npy", own_images.npy_bytes(np.ones((1, 1)))), ("row 5", "is 1 x 1 pixels, too")),
    "box beside the last pixel": Bad(
        column("boxes", lambda i: "20 3 1 4"), ("row 2", "20 3 1 4 covers no pixel of the image, which is 20 x 20")
    ),
    "zero byte": Bad(edit("x2.dcm", "a\0/x2.dcm"), ("row 4", "'a\\x00/x2.dcm' has a NUL byte", "correct")),
    "no mask there": Bad(
        column("mask", lambda i: "m.png"), ("row 2", "no mask m.png of image x0.png", "in masks/", "leave the cell")
    ),
    "mask in capitals": Bad(column("mask", lambda i: "X2.png"), ("no mask X2.png", "did you mean x2.png?")),
    "no masks": Bad(
        lambda f: shutil.rmtree(f / "masks"),
        ("no image of label 'sick' in test_id has a mask (x", " has none)", "put masks into masks/, each named as its"),
    ),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("good") / "set"
    own_images.make_folder(folder, images=32)
    return folder


def check(folder: Path) -> None:
    """What happens before any training: the configuration, then a look at the data."""
    config = resolve({"dataset": f"folder:{folder}", "image_size": 20})
    dataset = find_dataset(config.dataset)
    dataset(dataset.Options(**config.dataset_options), 1.0, 0).check()


@pytest.mark.parametrize("case", BAD)
def test_bad_data_are_refused_with_file_and_row(case, good, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(good, folder)
    BAD[case].damage(folder)
    with pytest.raises(ConfigurationError) as caught:
        check(folder)
    message, start = str(caught.value), 0
    assert "\n" not in message
    for piece in BAD[case].pieces:
        assert piece in message[start:], f"{piece!r} is missing, or out of order, in: {message}"
        start = message.index(piece, start) + len(piece)


def test_several_problems_are_shown_at_a_time(good, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(good, folder)
    for i in range(0, 20, 4):
        (folder / f"images/x{i}.png").write_bytes(b"?")
    with pytest.raises(ConfigurationError, match=r"row 2: .*row 6: .*row 10: .*and \d+ more"):
        check(folder)


def test_columns_of_other_names_are_named(good, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(good, folder)
    edit("image,label,group,subject", "File Name,diagnosis,group,who", 1)(folder)
    plain = resolve({"dataset": f"folder:{good}"})
    assert "columns" not in plain.dataset_options
    names = "File Name:image, diagnosis:label,who:subject"
    renamed = resolve({"dataset": f"folder:{folder}", "columns": names})
    assert renamed.dataset_options["content"] == plain.dataset_options["content"]
    assert renamed.dataset_options["columns"] == names
    for wrong, message in (
        ("diagnosis", r"bad columns 'diagnosis' .*write NAME:COLUMN .*one of image, file, label"),
        ("diagnosis:sickness", r"bad columns .*one of image, file, label"),
        ("diagnose:label", r"table\.csv has no column 'diagnose', which columns=diagnose:label names: row 1 is 'File"),
        ("File Name:image,who:subject", r"Then set columns=File Name:image,who:subject,diagnosis:label\."),
        (f"{names},group:label", r"has columns 'diagnosis' and 'group' for the label; keep one"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            resolve({"dataset": f"folder:{folder}", "columns": wrong})


def test_what_macos_adds_is_no_table_image_or_mask(good, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(good, folder)
    for name in ("._table.csv", "images/._x0.png", "masks/._x0.png", "__MACOSX/._table.csv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"\0\5\x16\7")
    contents = [resolve({"dataset": f"folder:{place}"}).dataset_options["content"] for place in (good, folder)]
    assert contents[0] == contents[1]
    assert unused_files(find_dataset(f"folder:{folder}")(find_dataset(f"folder:{folder}").Options(), 1.0, 0)) == []


@pytest.mark.parametrize("place", ["mask/{}", "segmentations/{}_seg", "images/{}_segmentation", "masks/{}_mask"])
def test_masks_are_found_under_their_common_names(place, good, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(good, folder)
    masks = [(path.stem, path.read_bytes()) for path in (folder / "masks").iterdir()]
    shutil.rmtree(folder / "masks")
    for stem, data in masks:
        path = folder / f"{place.format(stem)}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    contents = [resolve({"dataset": f"folder:{place}"}).dataset_options["content"] for place in (good, folder)]
    assert contents[0] == contents[1]


def test_columns_can_be_left_aside(good, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(good, folder)
    column("age", str)(folder)
    plain = resolve({"dataset": f"folder:{good}"}).dataset_options["content"]
    for ignored in ("age", "*"):
        config = resolve({"dataset": f"folder:{folder}", "ignore_columns": ignored})
        assert config.dataset_options["content"] == plain
    without = resolve({"dataset": f"folder:{folder}", "ignore_columns": "age,subject"})
    assert without.dataset_options["content"] != plain


@pytest.mark.parametrize("ends", ["\r", "\r\n", "\n,,,\n", "\n\n"])
def test_line_ends_and_blank_lines_do_not_matter(ends, good, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(good, folder)
    text = (good / "table.csv").read_text().replace("\n", ends)
    (folder / "table.csv").write_bytes(text.encode())
    same = {resolve({"dataset": f"folder:{place}"}).dataset_options["content"] for place in (good, folder)}
    assert len(same) == 1
    (folder / "images/x1.jpg").unlink()
    row = 3 if ends in ("\r", "\r\n") else 5
    with pytest.raises(ConfigurationError, match=rf"table\.csv row {row}: there is no image x1\.jpg"):
        check(folder)


def test_a_split_is_read_in_any_case(good, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(good, folder)
    column("split", lambda i: ("Training", "VAL", "test ")[i // 8 % 3])(folder)
    dataset = find_dataset(f"folder:{folder}")
    rows, _ = dataset.read(dataset.Options())
    assert {row.split for row in rows} == {"train", "valid", "test"}


def test_a_mask_may_have_its_suffix_in_capitals(good, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(good, folder)
    for path in (folder / "masks").iterdir():
        path.rename(path.with_suffix(".PNG"))
    content = {resolve({"dataset": f"folder:{place}"}).dataset_options["content"] for place in (good, folder)}
    assert len(content) == 1


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

    def exists(self, location: str) -> bool:
        assert location.startswith("s3://study/"), location
        return True


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
def test_a_table_in_s3_names_no_files_of_the_machine_and_no_other_bucket(name, reason, field, dataset):
    cells = {"image": "x.png", "mask": "m.png", field: name}
    files, problems = TablesAlone(dataset, f"image,mask,label\n{cells['image']},{cells['mask']},a\n"), Problems()
    recipe = find_dataset(dataset)
    assert recipe.read_rows(recipe.Options(), files, problems) == []
    assert len(problems) == 1
    assert problems[0].startswith("s3://study/set/table.csv row 2: ")
    assert reason in problems[0]


def test_a_table_in_s3_may_name_its_bucket_and_others_openly():
    names = ["x.png", "../other/x.png", "s3://public/x.png"]
    files = TablesAlone("s3", "image,label\n" + "".join(f"{name},a\n" for name in names))
    recipe = find_dataset("manifest:s3://study/set/table.csv")
    rows = recipe.read_rows(recipe.Options(), files, Problems())
    assert [row.image for row in rows] == ["s3://study/set/x.png", "s3://study/other/x.png", "s3://public/x.png"]


def test_a_folder_of_images_without_a_table(good, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(good / "images", folder)
    (folder / "more").mkdir()
    with pytest.raises(ConfigurationError, match="set has no table, but files and the folders more; add a CSV"):
        check(folder)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_an_accented_letter_may_be_one_character_or_two(form, good, tmp_path):
    """The files' names have the one form, the table the other."""
    folder = tmp_path / "set"
    shutil.copytree(good, folder)
    for path in [*(folder / "images").iterdir(), *(folder / "masks").iterdir()]:
        path.rename(path.with_name(normalize(form, path.name.replace("x", "\u00e4"))))
    other = normalize({"NFC": "NFD", "NFD": "NFC"}[form], "\u00e4")
    edit("\nx", f"\n{other}")(folder)
    expected = resolve({"dataset": f"folder:{good}"}).dataset_options["content"]
    assert resolve({"dataset": f"folder:{folder}"}).dataset_options["content"] == expected
    masked = {path.name for path in (good / "masks").iterdir()}
    column("mask", lambda i: f"{other}{i}.png" if f"x{i}.png" in masked else "")(folder)
    assert resolve({"dataset": f"folder:{folder}"}).dataset_options["content"] == expected


def test_a_mask_of_exactly_its_images_name_comes_first(good, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(good, folder)
    composed, decomposed = (normalize(form, "\u00e42") for form in ("NFC", "NFD"))
    (folder / "images/x2.dcm").rename(folder / f"images/{composed}.dcm")
    (folder / "masks/x2.png").rename(folder / f"masks/{composed}.png")
    (folder / f"masks/{decomposed}.png").write_bytes(LABELS)
    edit("x2.dcm", f"{composed}.dcm")(folder)
    check(folder)


def test_without_a_named_mask_an_empty_column_leaves_masks_to_their_names(good, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(good, folder)
    column("mask", lambda i: "")(folder)
    content = {resolve({"dataset": f"folder:{place}"}).dataset_options["content"] for place in (good, folder)}
    assert len(content) == 1
