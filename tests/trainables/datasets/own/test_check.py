"""python -m trainables.datasets: descriptions, warnings, and exit codes."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import own_images
from typer.testing import CliRunner

from trainables.core.files import cache_folder
from trainables.datasets import dataset as datasets
from trainables.datasets import decoding
from trainables.datasets.__main__ import app


@pytest.fixture
def folder(tmp_path) -> Path:
    """32 images in four formats of 20 x 20 pixels; 5 of the 16 normal ones have no mask."""
    own_images.make_folder(tmp_path / "set", images=32)
    return tmp_path / "set"


@pytest.fixture
def check(tmp_path, monkeypatch):
    """The command's output on a folder, run in an empty one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("SWEEP_STORAGE", raising=False)

    def run(folder: Path, *options: str) -> str:
        result = CliRunner().invoke(app, [f"folder:{folder}", *options])
        assert result.exit_code == 0, result.output
        return result.output

    return run


def test_it_describes_the_data(folder, check):
    output = check(folder, "--severity", "0.5")
    for piece in (
        "Files: 8 16-bit grey, 8 8-bit RGB, 8 12-bit DICOM, 8 float64 grey; 20 x 20 pixels",
        "Converted: 8 from colour to grey, 16 of more than 8 bits to [0, 1] (pixel_range=type)\n",
        "Images of 1 x 20 x 20",
        "32 rows, 16 subjects",
        "Label 'normal' is class 0: 16 images, 5 with no mask or an empty one: x0.png (row 2), x9.jpg (row 11), ",
        "Label 'sick' is class 1: 16 images, all with a mask",
        "Group 'left' goes with 'normal' in training; it has 8 normal, 8 sick",
        "data seed 0: 24 of 32 images, as many as the rarest label and group allow",
        "train     8 images: 4 normal (3 group 'left', 1 group 'right'); 4 sick (1 group 'left', 3 group 'right')",
        "test_ood  4 images",
        "sick: 100% (7.2% to 7.2% inside)",
        f"The data can be used. Next: python sweep.py --dataset folder:{folder} --space own_data --dry-run",
    ):
        assert piece in output, output


def test_it_tells_what_becomes_of_size_colours_and_shape(folder, check, tmp_path):
    for i in range(32):
        image = np.zeros((20, 900) if i == 7 else (150, 200), np.uint8)
        image[:, ::9] = 30 + 7 * i
        values = np.dstack([image, image // 2, image]) if i % 4 else np.dstack([image] * 3)
        (folder / f"images/x{i}.png").write_bytes(own_images.png_bytes(values))
        (folder / f"masks/x{i}.png").write_bytes(own_images.png_bytes(np.full_like(image, 255)))
    table = (folder / "table.csv").read_text()
    (folder / "table.csv").write_text(re.sub(r"\.(jpg|dcm|npy)", ".png", table))
    output = check(folder, "--out", str(tmp_path / "some.png"))
    assert "Size: 32 of 32 images are larger than 64 x 64 pixels (up to 900 x 20) and are shrunk, so" in output
    assert "a larger image_size, for example 128, keeps more of it and takes more time" in output
    assert "Colour: 24 of 32 images have colours and keep them (channels=3); channels=1 drops them" in output
    assert "Shape: 1 of 32 images are squeezed into a square, most of all x7.png (table.csv row 9), 900 x 20 " in output
    picture = np.asarray(Image.open(tmp_path / "some.png").convert("RGB")).astype(int)
    purple = (abs(picture[..., 0] - picture[..., 2]) < 2) & (picture[..., 0] - picture[..., 1] > 9)
    assert purple.mean() > 0.01
    grey = check(folder, "--set", "channels=1", "--set", "fit=pad")
    assert "24 of 32 images have colours and lose them (channels=1); channels=3 keeps them" in grey
    assert "Shape: " not in grey


def test_it_warns_of_boxes_that_look_like_corners(folder, check):
    shutil.rmtree(folder / "masks")
    table = (folder / "table.csv").read_text().replace("subject\n", "subject,boxes\n")
    for boxes, warned in (("2 3 6 8", True), ("9 3 6 8", False)):
        (folder / "table.csv").write_text(re.sub(r"(p\d+)\n", rf"\1,{boxes}\n", table))
        assert ("all 32 boxes have a width above x and a height above y, as the corners" in check(folder)) == warned


def test_it_names_images_without_a_mask_and_unused_files(folder, check):
    (folder / "masks/x2.png").rename(folder / "masks/X_2.png")
    (folder / "images/other.png").write_bytes(b"")
    (folder / "images/notes.txt").write_text("")
    output = check(folder)
    assert "Label 'sick' is class 1: 16 images, 1 with no mask or an empty one: x2.dcm (row 4)\n" in output
    assert "Not in use, as no row names them: images/other.png, masks/X_2.png\n" in output


def test_the_picture_is_beside_the_sweeps(folder, check, monkeypatch, tmp_path):
    assert "masks in green: sweeps/dataset.png\n" in check(folder)
    monkeypatch.setenv("SWEEP_STORAGE", "s3://bucket/sweeps")
    Path("sweeps/dataset.png").unlink()
    check(folder)
    assert [str(path) for path in Path().rglob("*") if path.is_file()] == ["sweeps/dataset.png"]
    monkeypatch.setenv("SWEEP_STORAGE", str(tmp_path / "storage"))
    check(folder)
    assert (tmp_path / "storage/dataset.png").read_bytes().startswith(b"\x89PNG")


def test_it_tells_where_decoded_images_are_and_removes_them(folder, check, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    output = check(folder)
    (decoded,) = cache_folder("decoded").iterdir()
    assert "\nA trial holds these images in memory: " in output
    took = r"Decoded in 0:00:0\d to \d+\.\d kB in "
    assert re.search(f"{took}{decoded}; XDG_CACHE_HOME moves them, --clear removes them\n", output), output
    pixels = decoding.mapped(decoded / "pixels.npy")
    before = pixels.copy()
    (cache_folder("digests") / "other.json").write_bytes(bytes(2000))
    being_decoded = cache_folder("decoded") / ".another-process"
    being_decoded.mkdir()
    result = CliRunner().invoke(app, ["--clear"])
    assert result.exit_code == 0, result.output
    assert re.fullmatch(
        rf"Removed \d+\.\d kB of decoded images, [2-9]\.\d kB of digests of files from {decoded.parents[1]}\n",
        result.output,
    )
    np.testing.assert_array_equal(pixels, before)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.parent.name in decoding.KINDS] == [being_decoded]
    assert "Removed nothing from" in CliRunner().invoke(app, ["--clear"]).output
    assert re.sub(took, "", check(folder)) == re.sub(took, "", output)


def test_images_that_stay_on_disk_are_described_alike(folder, check, monkeypatch):
    small = check(folder)
    monkeypatch.setattr(datasets, "HELD_BYTES", 0)
    datasets._CACHE.clear()
    large = check(folder)
    datasets._CACHE.clear()
    line = "A trial reads these images from disk, a batch at a time; in memory they would take"
    assert large.replace(line, "A trial holds these images in memory:") == small


def test_a_dataset_without_files_has_nothing_decoded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["synthetic", "--set", "n_train=8"])
    assert result.exit_code == 0, result.output
    assert "Decoded" not in result.output


@pytest.mark.parametrize(
    ("arguments", "piece"),
    [
        ([], "give the NAME of a dataset, or --clear, see --help"),
        (["synthetic", "--clear"], "--clear is for all datasets: leave out NAME"),
        (["folder:nowhere"], "there is no folder"),
        (["manifest:nowhere.csv"], "there is no file"),
        (["folder:mine.csv"], "mine.csv is a file; name its folder, or write manifest:/"),
        (["manifest:mine"], "mine is a folder; name a file in it, or write folder:/"),
        (["synthetic", "--set", "n_train=4"], "bad value 4 for n_train"),
        (["synthetic", "--out", "no/where.png", "--set", "n_test=8"], "cannot write no/where.png"),
    ],
)
def test_bad_arguments_end_with_exit_code_2_and_one_line(arguments, piece, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("mine.csv").write_text("")
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert piece in result.stderr
    assert "Traceback" not in result.output
