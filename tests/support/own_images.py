"""Small sets of images on disk: a disc on noise, its mask, and a bar whose side depends on the group."""

import io
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import pydicom
import tifffile
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset

SIDE = 20
CELLS = (("left", "normal"), ("left", "sick"), ("right", "normal"), ("right", "sick"))


def drawn(index: int, group: str, label: str, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Grey values in [0, 1] [side, side] and the mask of the disc, which is bright if the label is sick."""
    rng = np.random.default_rng(index)
    image = rng.uniform(0.2, 0.4, (side, side))
    y, x = np.mgrid[:side, :side]
    row, column = rng.integers(6, side - 6, size=2)
    mask = (y - row) ** 2 + (x - column) ** 2 <= 9
    image[mask] = 0.9 if label == "sick" else 0.6
    image[1:4, 1:3] = 1.0 if group == "left" else 0.0
    image[1:4, -3:-1] = 0.0 if group == "left" else 1.0
    return image, mask


def png_bytes(values: np.ndarray) -> bytes:
    """A PNG of 8 or 16 bits, grey [h, w] or colour [h, w, 3]."""
    return bytes(imagecodecs.png_encode(values))


def dicom_bytes(
    values: np.ndarray,
    bits: int = 12,
    photometric: str = "MONOCHROME2",
    jpeg: bytes | None = None,
    syntax: str = pydicom.uid.JPEGBaseline8Bit,
    **more: object,
) -> bytes:
    """A DICOM file of unsigned grey values [h, w], or of the compressed pixels `jpeg`."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian if jpeg is None else pydicom.uid.UID(syntax)
    meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Rows, dataset.Columns = values.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, photometric
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = (8 if bits <= 8 else 16), bits, bits - 1
    dataset.PixelRepresentation = 0
    dataset.PixelData = values.astype(np.uint8 if bits <= 8 else np.uint16).tobytes()
    if jpeg is not None:
        dataset.PixelData = pydicom.encaps.encapsulate([jpeg])
    for name, value in more.items():
        setattr(dataset, name, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def npy_bytes(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def tiff_bytes(values: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def pillow_bytes(values: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, kind, **options)
    return buffer.getvalue()


def encoded(image: np.ndarray, index: int) -> tuple[str, bytes]:
    """Suffix and bytes of grey values in [0, 1]: alternately 16-bit PNG, RGB JPEG, 12-bit DICOM and npy."""
    kind = index % 4
    if kind == 0:
        return ".png", png_bytes(np.rint(image * 65535).astype(np.uint16))
    if kind == 1:
        rgb = np.repeat(np.rint(image * 255).astype(np.uint8)[:, :, None], 3, axis=2)
        return ".jpg", pillow_bytes(rgb, "JPEG", quality=95)
    if kind == 2:
        return ".dcm", dicom_bytes(np.rint(image * 4095), bits=12)
    return ".npy", npy_bytes(image)


def make_folder(folder: Path, images: int = 200, side: int = SIDE) -> list[dict[str, str]]:
    """images/, masks/ and table.csv with columns image, label, group, subject; its rows. Two images per subject."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    rows = []
    for i in range(images):
        group, label = CELLS[i // 2 % 4]
        image, mask = drawn(i, group, label, side)
        suffix, data = encoded(image, i)
        (folder / "images" / f"x{i}{suffix}").write_bytes(data)
        if label == "sick" or i % 3:
            (folder / "masks" / f"x{i}.png").write_bytes(png_bytes(mask.astype(np.uint8) * 255))
        rows.append({"image": f"x{i}{suffix}", "label": label, "group": group, "subject": f"p{i // 2}"})
    write_csv(folder / "table.csv", rows)
    return rows


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    pd.DataFrame(rows).to_csv(path, index=False)
