"""Tables of public X-ray sets, as torchxrayvision ships them."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trainables.core.errors import ConfigurationError
from trainables.datasets.own.table import Box

SIDE = 1024
"""Height and width in pixels of the images on which the boxes of NIH and RSNA were drawn."""
OLDEST_CHILD, READ_IN = 10, 2019
"""PadChest images of people who were 10 or younger in 2019 are excluded, as in torchxrayvision."""
DAMAGED = frozenset(
    {
        "216840111366964012373310883942009117084022290_00-064-025",
        "216840111366964012373310883942009152114636712_00-102-045",
        "216840111366964012373310883942009170084120009_00-097-074",
        "216840111366964012283393834152009033102258826_00-059-087",
        "216840111366964012339356563862009072111404053_00-043-192",
        "216840111366964012487858717522009280135853083_00-075-001",
        "216840111366964012558082906712009327122220177_00-102-064",
        "216840111366964012819207061112010281134410801_00-129-131",
        "216840111366964012819207061112010306085429121_04-020-102",
        "216840111366964012819207061112010307142602253_04-014-084",
        "216840111366964012819207061112010315104455352_04-024-184",
        "216840111366964012959786098432011033083840143_00-176-115",
        "216840111366964012989926673512011074122523403_00-163-058",
        "216840111366964012989926673512011083134050913_00-168-009",
        "216840111366964012989926673512011151082430686_00-157-045",
        "216840111366964013076187734852011291090445391_00-196-188",
        "216840111366964013590140476722013043111952381_02-065-198",
        "216840111366964013590140476722013058110301622_02-056-111",
        "216840111366964013686042548532013208193054515_02-026-007",
        "216840111366964013829543166512013353113303615_02-092-190",
        "216840111366964013962490064942014134093945580_01-178-104",
    }
)
"""PadChest images that are missing from the published archive or damaged, as listed by torchxrayvision."""


@dataclass(frozen=True)
class Entry:
    """One image of a public set."""

    where: str
    """Table and row; the header is row 1."""
    stem: str
    """The file's name without its suffix."""
    patient: str
    view: str
    findings: tuple[str, ...]
    boxes: tuple[Box, ...] = ()
    """In pixels of an image of `SIDE`."""


@cache
def nih() -> tuple[Entry, ...]:
    """NIH ChestX-ray14: 112,120 images, in the table's order, with the boxes of cardiomegaly."""
    boxes: dict[str, list[Box]] = {}
    for row in _table("BBox_List_2017.csv.gz").itertuples(index=False):
        if row[1] == "Cardiomegaly":
            boxes.setdefault(str(row[0]), []).append(Box(*map(float, row[2:6])))
    columns = ["Image Index", "Finding Labels", "Patient ID", "View Position"]
    name = "Data_Entry_2017_v2020.csv.gz"
    return tuple(
        Entry(
            where=f"{name} row {number}",
            stem=image.rsplit(".", 1)[0],
            patient=str(patient),
            view=view,
            findings=tuple(findings.split("|")),
            boxes=tuple(boxes.get(image, ())),
        )
        for number, (image, findings, patient, view) in _rows(name, columns)
    )


@cache
def padchest() -> tuple[Entry, ...]:
    """PadChest's labelled images of adults by name, without those known to be damaged."""
    columns = ["ImageID", "Labels", "PatientID", "Projection", "PatientBirth"]
    name = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"
    entries = (
        Entry(
            where=f"{name} row {number}",
            stem=image.rsplit(".", 1)[0],
            patient=str(patient),
            view=str(view),
            findings=tuple(label.strip() for label in ast.literal_eval(labels) if label.strip()),
        )
        for number, (image, labels, patient, view, born) in _rows(name, columns)
        if isinstance(labels, str) and READ_IN - born > OLDEST_CHILD
    )
    return tuple(sorted((entry for entry in entries if entry.stem not in DAMAGED), key=lambda entry: entry.stem))


@cache
def rsna() -> tuple[Entry, ...]:
    """RSNA's 26,684 training images by name: "pneumonia" among the findings and its boxes, or no finding."""
    headers = "kaggle_stage_2_train_images_dicom_headers.csv.gz"
    views = {patient: view for _, (patient, view) in _rows(headers, ["PatientID", "ViewPosition"])}
    name = "kaggle_stage_2_train_labels.csv.zip"
    first: dict[str, tuple[int, int]] = {}
    boxes: dict[str, list[Box]] = {}
    for number, (patient, x, y, width, height, target) in _rows(
        name, ["patientId", "x", "y", "width", "height", "Target"]
    ):
        first.setdefault(patient, (number, int(target)))
        if target:
            boxes.setdefault(patient, []).append(Box(float(x), float(y), float(width), float(height)))
    return tuple(
        Entry(
            where=f"{name} row {first[patient][0]}",
            stem=patient,
            patient=patient,
            view=str(views[patient]),
            findings=("pneumonia",) if first[patient][1] else (),
            boxes=tuple(boxes.get(patient, ())),
        )
        for patient in sorted(first)
    )


def _rows(name: str, columns: list[str]) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Row numbers, the header being row 1, and the cells of `columns`."""
    table = _table(name, columns)
    return ((i, cells) for i, cells in enumerate(table[columns].itertuples(index=False, name=None), start=2))


def _table(name: str, columns: list[str] | None = None) -> Any:
    import pandas as pd

    # Found, not imported: importing the package would load its models and their dependencies.
    package = find_spec("torchxrayvision")
    if package is None or not package.submodule_search_locations:
        raise ConfigurationError("the X-ray sets need the tables of torchxrayvision; pip install torchxrayvision")
    path = Path(package.submodule_search_locations[0]) / "data" / name
    if not path.is_file():
        raise ConfigurationError(f"this torchxrayvision has no table {name}; pip install 'torchxrayvision>=1.5.7'")
    return pd.read_csv(path, usecols=columns, index_col=False)
