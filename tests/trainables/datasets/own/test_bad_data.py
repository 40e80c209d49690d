"""Unusable data are refused before any training, with file and row, what is allowed and how to fix it."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from support import own_images
from typer.testing import CliRunner

from trainables import resolve
from trainables.core.errors import ConfigurationError
from trainables.datasets import find_dataset
from trainables.datasets.__main__ import app


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
    "empty cell": Bad(edit("sick,left", "sick,right"), ("label 'sick' with group 'left' are too few: 0",)),
    "no label column": Bad(edit("label", "group", 1), ("columns 'group' and 'group'", "keep one")),
    "wrong column": Bad(edit("label", "lable", 1), ("unknown column 'lable'", "did you mean 'label'")),
    "no header": Bad(edit("image,label,group,subject\n", ""), ("unknown column 'x0.png'", "Allowed are image")),
    "short row": Bad(edit(",left,p0", "", 1), ("row 2", "2 cells", "header 4")),
    "long row": Bad(edit("p0\n", "p0,9\n", 1), ("row 2", "5 cells", "header 4")),
    "twice": Bad(edit("x1.jpg", "x0.png"), ("row 3", "x0.png", "row 2", "keep one")),
    "not text": Bad(put("table.csv", b"\xff\xfe\x00image"), ("not text in UTF-8",)),
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
    "no mask there": Bad(column("mask", lambda i: "m.png"), ("row 2", "no mask m.png", "in masks/", "leave the cell")),
    "no masks": Bad(lambda f: shutil.rmtree(f / "masks"), ("no image of label 'sick' in test_id has a mask",)),
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


def test_the_check_command_says_what_it_found(good, tmp_path):
    picture = tmp_path / "sample.png"
    result = CliRunner().invoke(
        app, ["check", f"folder:{good}", "--set", "image_size=20", "--severity", "0.5", "--out", str(picture)]
    )
    assert result.exit_code == 0, result.output
    for piece in (
        "32 rows, 16 subjects",
        "'normal' is class 0, 'sick' is class 1",
        "Group 'left' goes with 'normal' in training; it has 8 normal, 8 sick",
        "train     8 images: 4 normal (3 group 'left', 1 group 'right'); 4 sick (1 group 'left', 3 group 'right')",
        "test_ood  4 images",
        "class 1: 100% (7.2% to 7.2% inside)",
    ):
        assert piece in result.output, result.output
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "piece"),
    [
        (["folder:nowhere"], "there is no folder"),
        (["manifest:nowhere.csv"], "there is no file"),
        (["nowhere"], "unknown dataset 'nowhere'; choose from"),
        (["synthetic", "--set", "n_train=4"], "bad value 4 for n_train"),
        (["synthetic", "--set", "n_train"], "write --set KEY=VALUE"),
        (["synthetic", "--root", "x"], "unknown setting 'root'"),
        (["synthetic", "--out", "no/where.png", "--set", "n_test=8"], "cannot write no/where.png"),
    ],
)
def test_the_check_command_ends_with_2_and_a_line(arguments, piece, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["check", *arguments])
    assert result.exit_code == 2
    assert piece in result.stderr
    assert "Traceback" not in result.output


def test_the_check_command_warns(good, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(good, folder)
    for path in (folder / "masks").iterdir():
        if int(path.stem[1:]) // 2 % 2 == 0:
            path.unlink()
    arguments = ["check", f"folder:{folder}", "--set", "pixel_range=0:900", "--out", str(tmp_path / "x.png")]
    result = CliRunner().invoke(app, arguments)
    assert "class 0 has no masks at all" in result.output, result.output
