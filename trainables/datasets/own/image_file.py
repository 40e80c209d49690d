"""Decoding of image files: PNG, JPEG, TIFF, DICOM or npy, recognised by their first bytes."""

import io
import math
import struct
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Num

from records.arrays import read_array
from trainables.core.files import LARGEST

FARTHEST = 1e300
"""Greatest value of a pixel: differences of values stay finite."""
DEFLATED = b"1.2.840.10008.1.2.1.99"
"""The transfer syntax of a DICOM file that is compressed as a whole."""
ORIENTATION, UPRIGHT = 0x0112, 1
"""The tag of EXIF and TIFF for how to turn an image for display, 1 to 8, and its value for an upright image."""
COLOURED, COLOURED_SHARE = 0.05, 0.001
"""An image has colour if channels differ by more than the first share of their range in more than the second share of
its pixels: more than the noise of a grey scan, less than a small coloured structure."""
LOOKED_AT = 512
"""Rows and columns that are searched for colour."""
WITH_ALPHA = {"1": "LA", "L": "LA", "P": "RGBA", "RGB": "RGBA"}
"""Pillow's mode for an image with one transparent colour, or a palette with some."""
BYTES = {"I;16": 2, "I;16B": 2, "I": 4, "F": 4, "P": 4}
"""Bytes per pixel of Pillow's modes that have other than one per letter; of a palette those of its colours."""
CHANNELS = {1: "grey", 2: "grey with alpha", 3: "RGB", 4: "RGBA"}


class UnreadableImageError(ValueError):
    """An image that cannot be used; the message says why and how to fix it."""


@dataclass(frozen=True)
class ImageFile:
    """Values as stored in the file, and the range of their type."""

    values: Num[np.ndarray, "height width channels"]
    """1 or 3 channels; of DICOM after RescaleSlope and RescaleIntercept."""
    low: float
    high: float
    """Range of the type: 0-255 for 8 bits, 0-65535 for 16, that of BitsStored for DICOM, 0-1 for all others."""
    kind: str
    """Bits, and what the channels are, alpha included: "8-bit RGBA", "12-bit DICOM"."""
    inverted: bool = False
    """Whether the least value is white: DICOM's MONOCHROME1."""
    orientation: int = UPRIGHT
    """How programs turn the image for display, as in EXIF; `values` are as stored."""

    def turned(self, orientation: int) -> "ImageFile":
        """The image turned as `orientation` says, and upright."""
        values = self.values.swapaxes(0, 1) if orientation > 4 else self.values
        rows, columns = (-1 if orientation in flipped else 1 for flipped in ((3, 4, 7, 8), (2, 3, 6, 7)))
        return replace(self, values=values[::rows, ::columns], orientation=UPRIGHT)

    @property
    def upright(self) -> "ImageFile":
        return self.turned(self.orientation)

    @property
    def has_colour(self) -> bool:
        """Whether channels differ; grey that is stored as RGB has no colour."""
        height, width, _ = self.values.shape
        values = self.values[:: -(-height // LOOKED_AT), :: -(-width // LOOKED_AT)]
        span = max(self.high - self.low, float(values.max()) - float(values.min()))
        spread = values.max(axis=2).astype(np.float64) - values.min(axis=2)
        return bool((spread > COLOURED * span).mean() > COLOURED_SHARE)


def decode(data: bytes, name: str) -> ImageFile:
    """Decode an image; a `name` that ends in .dcm is that of a DICOM file, even without DICOM's preamble.

    An opaque alpha channel is dropped; 1-bit and palette images become 8-bit ones.
    """
    try:
        _check_size(len(data))
        with np.errstate(over="ignore", invalid="ignore"):
            image = _decode(data, name)
    except UnreadableImageError:
        raise
    except Exception as error:  # a damaged file can raise anything in the libraries
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnreadableImageError(f"cannot be read ({reason}); replace the file") from error
    height, width = image.values.shape[:2]
    if min(height, width) < 2:
        raise UnreadableImageError(f"is {width} x {height} pixels, too small to show anything; replace the file")
    if not (float(image.values.min()) >= -FARTHEST and float(image.values.max()) <= FARTHEST):  # false for NaN
        raise UnreadableImageError(f"has values that are not finite or beyond {FARTHEST:g}; replace them")
    if not -FARTHEST <= image.low < image.high <= FARTHEST:
        raise UnreadableImageError(
            f"has the range {image.low:g} to {image.high:g}, by its RescaleSlope and RescaleIntercept; correct them"
        )
    return image


def _decode(data: bytes, name: str) -> ImageFile:
    if data.startswith(b"\x93NUMPY"):
        return _plain(read_array(data, LARGEST))
    if data[128:132] == b"DICM" or name.lower().endswith((".dcm", ".dicom")):
        return _dicom(data)
    if data.startswith(b"\x89PNG") and data[24:25] == b"\x10":
        return _png_of_16_bits(data)
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _tiff(data)
    if data.startswith((b"\x89PNG", b"\xff\xd8")):
        return _pillow(data)
    raise UnreadableImageError("is none of PNG, JPEG, TIFF, DICOM and npy; convert it")


def _check_size(size: int) -> None:
    if size > LARGEST:
        raise UnreadableImageError(
            f"has {size / 2**20:,.0f} MiB of pixels; at most {LARGEST / 2**20:,.0f} MiB are read: save it smaller"
        )


def _check_frames(frames: int) -> None:
    if frames > 1:
        raise UnreadableImageError("has several frames; save each as a file of its own")


def _plain(values: np.ndarray, orientation: int | None = None) -> ImageFile:
    """Values with channels last and without alpha, and the range of their type."""
    if values.ndim not in (2, 3):
        raise UnreadableImageError(f"has shape {values.shape}; an image is [height, width] or has 1 or 3 channels")
    values = np.atleast_3d(values)
    if values.shape[2] > 4 and values.shape[0] in (1, 3):
        values = np.moveaxis(values, 0, 2)
    high = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}.get(values.dtype, 1.0)
    if values.dtype.kind not in "buif" or values.dtype.itemsize > 8:
        raise UnreadableImageError(f"has values of type {values.dtype}; save numbers of at most 64 bits")
    bits = f"{values.dtype}" if values.dtype.kind == "f" else f"{8 * values.dtype.itemsize}-bit"
    kind = f"{bits} {CHANNELS.get(values.shape[2], '')}"
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    if values.shape[2] in (2, 4):
        if (values[:, :, -1] < high).any():
            raise UnreadableImageError("is transparent in part; save it without its alpha channel")
        values = values[:, :, :-1]
    if values.shape[2] not in (1, 3):
        raise UnreadableImageError(f"has {values.shape[2]} channels; save it with 1 (grey) or 3 (red, green, blue)")
    if orientation not in range(1, 9):  # Programs ignore other values.
        orientation = None
    return ImageFile(values, 0.0, high, kind, orientation=orientation or UPRIGHT)


def _pillow(data: bytes) -> ImageFile:
    from PIL import Image

    try:
        image: Image.Image = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(f"is too large ({error}); save it smaller") from None
    _check_frames(getattr(image, "n_frames", 1))
    _check_size(image.width * image.height * BYTES.get(image.mode, len(image.mode)))
    orientation = _orientation(image)
    if "transparency" in image.info:
        image = image.convert(WITH_ALPHA.get(image.mode, image.mode))
    if image.mode == "P":
        image = image.convert("RGB")
    if image.mode not in ("1", "L", "LA", "RGB", "RGBA", "I;16", "I;16B", "I", "F"):
        raise UnreadableImageError(f"has colours of type {image.mode}; save it as grey or RGB")
    return _plain(np.asarray(image.convert("L") if image.mode == "1" else image), orientation)


def _orientation(image: Any) -> int | None:
    """The orientation in the EXIF of one of Pillow's images; None if there is none that can be read."""
    try:
        return image.getexif().get(ORIENTATION)
    except Exception:  # damaged EXIF can raise anything; programs show such an image as it is stored
        return None


def _png_of_16_bits(data: bytes) -> ImageFile:
    # Pillow reads 16-bit colours as 8-bit ones.
    from imagecodecs import png_decode
    from PIL import Image

    width, height = struct.unpack(">II", data[16:24])
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[data[25]]  # by PNG's colour type: grey, RGB, and both with alpha
    _check_size(width * height * channels * 2)
    return _plain(png_decode(data), _orientation(Image.open(io.BytesIO(data))) if b"eXIf" in data else None)


def _tiff(data: bytes) -> ImageFile:
    from tifffile import PHOTOMETRIC, TiffFile

    with TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        _check_frames(1 + file.pages.is_multipage)
        if page.dtype is None:
            raise UnreadableImageError("has values of a type that cannot be read; save numbers of 8, 16 or 32 bits")
        # A strip or tile is decoded as a whole, and may be larger than the image.
        _check_size(max(page.size, math.prod(page.chunks)) * page.dtype.itemsize)
        orientation = page.tags.valueof(ORIENTATION)
        if page.photometric == PHOTOMETRIC.MINISWHITE and page.dtype.itemsize > 1:
            raise UnreadableImageError("is white-is-zero with more than 8 bits; save it black-is-zero")
        if page.photometric in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB) and page.dtype != np.bool_:
            return _plain(page.asarray(), orientation)
    if orientation in range(2, 9):  # Pillow would turn it, and a mask may be drawn on the image as stored.
        raise UnreadableImageError(f"is stored turned or mirrored (TIFF orientation {orientation}); save it upright")
    # Pillow handles palettes, white-is-zero, JPEG colours and single bits, but not 16-bit colours and floats.
    return _pillow(data)


def _dicom(data: bytes) -> ImageFile:
    import pydicom
    from pydicom.pixels import get_decoder, iter_pixels

    if DEFLATED in data:  # pydicom decompresses it before it looks at the size.
        raise UnreadableImageError("is compressed as a whole (Deflated Explicit VR); save it without")
    dataset = pydicom.dcmread(io.BytesIO(data), force=True)
    if "PixelData" not in dataset:
        raise UnreadableImageError("is no DICOM file with pixels; replace it")
    _check_frames(int(dataset.get("NumberOfFrames") or 1))
    shape = (dataset.Rows, dataset.Columns, dataset.SamplesPerPixel)
    _check_size(math.prod(shape) * max(1, dataset.BitsAllocated // 8))
    if dataset.get("ModalityLUTSequence"):
        raise UnreadableImageError("has a modality lookup table; apply it and save the image anew")
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    kind = str(dataset.PhotometricInterpretation)
    if not kind.startswith(("MONOCHROME", "RGB", "YBR")):
        raise UnreadableImageError(f"has photometric interpretation {kind}; save it as grey or RGB")
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_compressed and not get_decoder(syntax).is_available:
        raise UnreadableImageError(
            f"is compressed as {syntax.name}, for which no decoder is installed; pip install 'pylibjpeg[all]', or save "
            "it uncompressed"
        )
    frames = iter_pixels(dataset)
    values = next(frames).reshape(shape)
    _check_frames(1 + (next(frames, None) is not None))  # There may be more than the header says.
    bits = dataset.BitsStored
    low, high = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if dataset.PixelRepresentation else (0.0, 2.0**bits - 1)
    slope, intercept = dataset.get("RescaleSlope"), float(dataset.get("RescaleIntercept") or 0)
    slope = 1.0 if slope is None else float(slope)
    if (slope, intercept) != (1, 0):
        values = values.astype(np.float64) * slope + intercept
        low, high = sorted((low * slope + intercept, high * slope + intercept))
    return ImageFile(values, low, high, kind=f"{bits}-bit DICOM", inverted=kind == "MONOCHROME1")
