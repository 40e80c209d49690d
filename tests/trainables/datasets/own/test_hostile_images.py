"""Image files that attack: each is refused in a line that says why, or read as what it is, within bounded memory."""

import io
import logging
import resource
import struct
import zlib

import numpy as np
import pydicom
import pytest
from support.own_images import dicom_bytes, npy_bytes, pillow_bytes, tiff_bytes
from tifffile import TiffFile

from trainables.datasets.own.image_file import UnreadableImageError, decode
from trainables.datasets.own.images import OwnImagesOptions
from trainables.datasets.own.prepare import fitted, inside, scale

GREY = np.arange(35, dtype=np.uint16).reshape(5, 7) * 100
JPEG = pillow_bytes(GREY.astype(np.uint8), "JPEG")


@pytest.fixture(autouse=True)
def bounded():
    """Less memory than the bombs need, and no log of them."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**19, "kilobytes"


def edited(data: bytes = b"", without: str = "", **values: object) -> bytes:
    """A DICOM file with other values, or without one."""
    dataset = pydicom.dcmread(io.BytesIO(data or dicom_bytes(GREY)))
    if without:
        delattr(dataset, without)
    for name, value in values.items():
        setattr(dataset, name, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def texts(tag: str, text: str) -> bytes:
    """A DICOM file with a number that is this text."""
    return dicom_bytes(GREY, **{tag: "12345678"}).replace(b"12345678", text.encode().ljust(8))


def in_syntax(syntax: str) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(GREY)))
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        dataset.PixelData = pydicom.encaps.encapsulate([b"\2\0\0\0" + b"\xff" * 60])
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def big_endian() -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(GREY)))
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
    dataset.PixelData = GREY.astype(">u2").tobytes()
    dataset["PixelData"].VR = "OW"
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, implicit_vr=False, little_endian=False, force_encoding=True)
    return buffer.getvalue()


def deflated_bomb() -> bytes:
    data = in_syntax(pydicom.uid.DeflatedExplicitVRLittleEndian)
    start = 144 + struct.unpack("<I", data[140:144])[0]
    stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return data[:start] + b"".join(stream.compress(bytes(2**20)) for _ in range(50)) + stream.flush()


def tagged(data: bytes, **tags: int) -> bytes:
    """A TIFF file with other values of its tags."""
    changed = bytearray(data)
    with TiffFile(io.BytesIO(data)) as file:
        for name, value in tags.items():
            tag = file.pages.first.tags[name]
            changed[tag.offset + 8 : tag.offset + 12] = struct.pack("<I" if tag.dtype == 4 else "<Hxx", value)
    return bytes(changed)


TIFF = tiff_bytes(GREY)
TILED = tiff_bytes(np.zeros((32, 32), np.uint8), tile=(16, 16), compression="zlib")
ONE_BIT = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
COMPRESSED = dicom_bytes(GREY.astype(np.uint8), bits=8, jpeg=JPEG)

REFUSED = {
    "frames that the header hides": (edited(COMPRESSED, PixelData=pydicom.encaps.encapsulate([JPEG] * 3)), "frames"),
    "frames of one bit": (edited(**ONE_BIT, Rows=8, Columns=8, PixelData=b"\x55" * 16), "several frames"),
    "a billion frames": (texts("NumberOfFrames", "99999999"), "several frames"),
    "no number of frames": (texts("NumberOfFrames", "many"), "cannot be read"),
    "bits that are not stored": (edited(BitsAllocated=1), "cannot be read"),
    "one bit, 65535 x 65535": (edited(COMPRESSED, **ONE_BIT, Rows=65535, Columns=65535), "4,096 MiB of pixels"),
    "65535 x 65535": (edited(Rows=65535, Columns=65535), "8,192 MiB of pixels"),
    "pixels that are not there": (edited(Rows=9999, Columns=9999), "cannot be read"),
    "no pixels": (edited(without="PixelData"), "no DICOM file with pixels"),
    "empty pixels": (edited(PixelData=b""), "cannot be read"),
    "a JPEG larger than its header": (edited(COMPRESSED, Rows=2, Columns=2), "cannot be read"),
    "no photometric interpretation": (edited(without="PhotometricInterpretation"), "cannot be read"),
    "two photometric interpretations": (edited(PhotometricInterpretation=["RGB", "X"]), "save it as grey or RGB"),
    "slope 1e308": (dicom_bytes(GREY, RescaleSlope="1e308"), "beyond 1e+300"),
    "slope 1e308, small values": (dicom_bytes(np.uint16(GREY > 99), RescaleSlope="1e308"), "beyond 1e+300"),
    "slope 1e299, small values": (dicom_bytes(np.uint16(GREY > 99), RescaleSlope="1e299"), "range 0 to 4.095e+302"),
    "slope 0": (dicom_bytes(GREY, RescaleSlope="0"), "range 0 to 0, by its RescaleSlope"),
    **{f"slope {text}": (texts("RescaleSlope", text), "not finite") for text in ("nan", "inf", "-inf", "1e400")},
    **{f"intercept {text}": (texts("RescaleIntercept", text), "not finite") for text in ("nan", "inf", "1e308")},
    "slope of words": (texts("RescaleSlope", "steep"), "cannot be read"),
    "deflated bomb": (deflated_bomb(), "compressed as a whole"),
    "damaged RLE": (in_syntax(pydicom.uid.RLELossless), "cannot be read"),
    "npy 1e308": (npy_bytes(np.array([[1e308, -1e308], [0, 1]])), "beyond 1e+300"),
    "npy 1e4000": (npy_bytes(np.full((5, 7), np.longdouble("1e4000"))), "save numbers"),
    "npy of a structure": (npy_bytes(np.zeros((5, 7), [("a", "f4"), ("b", "i4")])), "save numbers"),
    "npy of complex numbers": (npy_bytes(np.zeros((5, 7), complex)), "save numbers"),
    "npy of texts": (npy_bytes(np.full((5, 7), "a")), "save numbers"),
    "npy of times": (npy_bytes(np.zeros((5, 7), "M8[s]")), "save numbers"),
    "npy without pixels": (npy_bytes(np.zeros((0, 5))), "too small"),
    "float TIFF of 1e308": (tiff_bytes(np.array([[1e308, -1e308], [0, 1]])), "beyond 1e+300"),
    "TIFF of 2**31 columns": (tagged(TIFF, ImageWidth=2**31), "MiB of pixels"),
    "tiles of 60000 x 60000": (tagged(TILED, TileWidth=60000, TileLength=60000), "3,433 MiB of pixels"),
    "more samples than are there": (tagged(TIFF, SamplesPerPixel=60000), "cannot be read"),
    "unknown compression": (tagged(TIFF, Compression=9999), "cannot be read"),
    "a ring of pages": (TIFF[:4] + b"\x08\0\0\0" + b"\1\0" + bytes(12) + b"\x08\0\0\0" + bytes(400), ""),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", REFUSED)
def test_an_attack_is_refused_with_the_reason(case):
    data, reason = REFUSED[case]
    with pytest.raises(UnreadableImageError) as caught:
        decode(data, "x.dcm" if data[128:132] == b"DICM" else "x")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unusual_files_are_read_as_what_they_are():
    expected = GREY / 4095
    for data in (big_endian(), texts("RescaleIntercept", "0"), texts("NumberOfFrames", "1")):
        np.testing.assert_allclose(scale(decode(data, "x.dcm"), "type")[:, :, 0], expected, atol=1e-7)
    tiny = decode(dicom_bytes(GREY, RescaleSlope="1e-320"), "x.dcm")
    np.testing.assert_allclose(scale(tiny, "type")[:, :, 0], expected, atol=1e-3)
    inverted = decode(dicom_bytes(GREY, photometric="MONOCHROME1", RescaleSlope="-1"), "x.dcm")
    np.testing.assert_allclose(scale(inverted, "type")[:, :, 0], expected, atol=1e-7)
    bits = np.unpackbits(np.arange(8, dtype=np.uint8), bitorder="little").reshape(8, 8)
    one_bit = decode(edited(**ONE_BIT, Rows=8, Columns=8, PixelData=bytes(range(8))), "x.dcm")
    np.testing.assert_array_equal(inside(one_bit, 8, 8), bits == 1)
    for values in (GREY.astype(">u2"), np.asfortranarray(GREY), GREY * 1e290, GREY * 1e-290):
        scaled = scale(decode(npy_bytes(values), "x"), "image")
        np.testing.assert_allclose(scaled[:, :, 0], GREY / GREY.max(), atol=1e-6)


def test_a_line_of_pixels_is_not_padded_to_a_square():
    with pytest.raises(UnreadableImageError, match=r"is 99999 x 2 pixels; at most 16384 can be padded.*fit=stretch"):
        fitted(np.zeros((2, 99_999, 1), np.float32), 64, "pad")
    assert fitted(np.zeros((2, 99_999, 1), np.float32), 64, "stretch").shape == (1, 64, 64)


def test_a_range_has_an_end():
    for text in ("0:" + "9" * 400, "-" + "9" * 400 + ":0"):
        with pytest.raises(ValueError, match="write type, image, or LOW:HIGH"):
            OwnImagesOptions(pixel_range=text)
