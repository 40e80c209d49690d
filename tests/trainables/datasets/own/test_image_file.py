"""Every format against the values that were put into it."""

import io
import struct
import zlib

import numpy as np
import pytest
from imagecodecs import png_encode
from PIL import Image, ImageOps
from support.own_images import dicom_bytes, npy_bytes, pillow_bytes, png_bytes, tiff_bytes

from trainables.datasets.own import image_file
from trainables.datasets.own.image_file import UnreadableImageError, decode
from trainables.datasets.own.prepare import ellipse_inside, fitted, fitted_mask, scale

RNG = np.random.default_rng(0)
GREY8 = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
GREY16 = RNG.integers(0, 65536, (5, 7), dtype=np.uint16)
RGB8 = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
RGB16 = RNG.integers(0, 65536, (5, 7, 3), dtype=np.uint16)
GREY12 = RNG.integers(0, 4096, (5, 7), dtype=np.uint16)
FLOATS = RNG.random((5, 7))


def with_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    """The PNG with a chunk after its header."""
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return png[:33] + chunk + png[33:]


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


EXACT = {
    "8-bit PNG": (png_bytes(GREY8), GREY8 / 255),
    "16-bit PNG": (png_bytes(GREY16), GREY16 / 65535),
    "8-bit RGB PNG": (png_bytes(RGB8), RGB8 / 255),
    "16-bit RGB PNG": (png_bytes(RGB16), RGB16 / 65535),
    "16-bit PNG with alpha": (png_encode(np.dstack([RGB16, np.full_like(GREY16, 65535)])), RGB16 / 65535),
    "16-bit TIFF": (tiff_bytes(GREY16), GREY16 / 65535),
    "float TIFF": (tiff_bytes(FLOATS.astype(np.float32)), FLOATS),
    "LZW TIFF": (pillow_bytes(RGB8, "TIFF", compression="tiff_lzw"), RGB8 / 255),
    "16-bit RGB LZW TIFF": (tiff_bytes(RGB16, photometric="rgb", compression="lzw"), RGB16 / 65535),
    "12-bit DICOM": (dicom_bytes(GREY12), GREY12 / 4095),
    "rescaled DICOM": (dicom_bytes(GREY12, RescaleSlope="2", RescaleIntercept="-1024"), GREY12 / 4095),
    "MONOCHROME1": (dicom_bytes(GREY12, photometric="MONOCHROME1", RescaleIntercept="-1000"), 1 - GREY12 / 4095),
    "float npy": (npy_bytes(FLOATS), FLOATS),
    "boolean npy": (npy_bytes(GREY8 > 99), GREY8 > 99),
    "channels first": (npy_bytes(np.moveaxis(RGB8, 2, 0)), RGB8 / 255),
    "damaged EXIF": (with_chunk(png_bytes(GREY8), b"eXIf", b"MM\0*\0\0\0\x08\0\x01"), GREY8 / 255),
    "white-is-zero TIFF": (tiff_bytes(255 - GREY8, photometric="miniswhite"), GREY8 / 255),
    "transparency not used": (pillow_bytes(RGB8 // 2, "PNG", transparency=(200, 200, 200)), RGB8 // 2 / 255),
}


@pytest.mark.parametrize("case", EXACT)
def test_values_come_back_exactly(case):
    data, expected = EXACT[case]
    result = scale(decode(data, "x"), "type")
    expected = np.asarray(expected, dtype=np.float64)
    np.testing.assert_allclose(result, expected if expected.ndim == 3 else expected[:, :, None], atol=1e-7)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_pillow_turns_it(orientation):
    smooth = np.add.outer(np.arange(32) * 3, np.arange(24) * 5).astype(np.uint8)
    tags = exif(orientation)
    for data in (pillow_bytes(smooth, "JPEG", exif=tags), pillow_bytes(RGB8, "PNG", exif=tags)):
        image = decode(data, "x")
        assert image.orientation == orientation
        shown = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
        np.testing.assert_array_equal(image.upright.values.squeeze(), shown)
    expected = decode(pillow_bytes(GREY8, "PNG", exif=tags), "x").upright.values
    deep = with_chunk(png_bytes(GREY8 * np.uint16(257)), b"eXIf", tags.removeprefix(b"Exif\0\0"))
    tiff = tiff_bytes(GREY8, extratags=[(274, "H", 1, orientation, True)])
    np.testing.assert_array_equal(decode(deep, "x").upright.values, expected * np.uint16(257))
    np.testing.assert_array_equal(decode(tiff, "x").upright.values, expected)


def test_grey_that_is_stored_as_rgb_has_no_colour():
    grey = np.repeat(np.add.outer(np.arange(90), np.arange(90)).astype(np.uint8)[:, :, None], 3, axis=2)
    noisy = (grey + RNG.integers(0, 9, grey.shape)).astype(np.uint8)
    dot = grey.copy()
    dot[:4, :4] = (200, 30, 30)
    for values, colour in ((grey, False), (noisy, False), (dot, True), (RGB8, True), (GREY8, False), (RGB16, True)):
        assert decode(png_bytes(values), "x").has_colour == colour
    assert not decode(pillow_bytes(grey, "JPEG", quality=50), "x").has_colour


def test_jpeg_palette_and_one_bit_images_are_what_pillow_shows():
    smooth = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8) * 4
    jpeg = pillow_bytes(smooth, "JPEG", quality=95)
    assert np.abs(scale(decode(jpeg, "x.jpg"), "type")[:, :, 0] - smooth / 255).max() < 0.02
    palette = Image.fromarray(RGB8).quantize(256)
    buffer = io.BytesIO()
    palette.save(buffer, "PNG")
    np.testing.assert_array_equal(decode(buffer.getvalue(), "x").values, np.asarray(palette.convert("RGB")))
    encapsulated = dicom_bytes(smooth, bits=8, jpeg=jpeg)
    np.testing.assert_array_equal(decode(encapsulated, "x").values, decode(jpeg, "x").values)
    bits = scale(decode(pillow_bytes(GREY8 > 99, "PNG"), "x"), "type")
    np.testing.assert_array_equal(bits[:, :, 0], GREY8 > 99)


def test_a_pixel_range_may_be_set_or_be_that_of_each_image():
    rescaled = decode(dicom_bytes(GREY12, RescaleSlope="2", RescaleIntercept="-1024"), "x")
    expected = ((GREY12 * 2.0 - 1024 + 160) / 400).clip(0, 1)
    np.testing.assert_allclose(scale(rescaled, "-160:240")[:, :, 0], expected, atol=1e-7)
    inverted = decode(dicom_bytes(GREY12, photometric="MONOCHROME1"), "x")
    np.testing.assert_allclose(scale(inverted, "0:1000")[:, :, 0], 1 - (GREY12 / 1000.0).clip(0, 1), atol=1e-7)
    scaled = scale(decode(png_bytes(GREY16), "x"), "image")
    assert (scaled.min(), scaled.max()) == (0, 1)
    unknown = decode(npy_bytes(FLOATS * 300), "x")
    with pytest.raises(UnreadableImageError, match=r"pixel_range=LOW:HIGH"):
        scale(unknown, "type")
    np.testing.assert_allclose(scale(unknown, "0:300")[:, :, 0], FLOATS, atol=1e-6)


@pytest.mark.parametrize(
    ("data", "pieces"),
    [
        (png_bytes(GREY8)[:-30], ("cannot be read", "replace the file")),
        (npy_bytes(np.full((3, 3), np.nan)), ("not finite",)),
        (npy_bytes(np.zeros((4, 5, 6, 3))), ("has shape (4, 5, 6, 3)", "[height, width]")),
        (npy_bytes(np.zeros((6, 6, 5))), ("has 5 channels", "1 (grey) or 3")),
        (pillow_bytes(GREY8, "PNG", transparency=int(GREY8[2, 2])), ("transparent in part", "alpha")),
        (pillow_bytes(RGB8, "PNG", transparency=tuple(map(int, RGB8[2, 2]))), ("transparent in part", "alpha")),
        (with_chunk(png_bytes(GREY16), b"tRNS", struct.pack(">H", GREY16[2, 2])), ("transparent in part", "alpha")),
        (
            tiff_bytes(GREY8, photometric="miniswhite", extratags=[(274, "H", 1, 6, True)]),
            ("is stored turned or mirrored (TIFF orientation 6)", "save it upright"),
        ),
        (png_bytes(GREY8[:1]), ("is 7 x 1 pixels", "too small")),
        (tiff_bytes(GREY16, photometric="miniswhite"), ("white-is-zero with more than 8 bits", "black-is-zero")),
        (dicom_bytes(GREY12, NumberOfFrames=2), ("has several frames", "file of its own")),
        (dicom_bytes(GREY8, bits=8, jpeg=b"x", syntax="1.2.840.10008.1.2.4.80"), ("JPEG-LS", "pylibjpeg")),
    ],
)
def test_unusable_files_are_refused_with_the_reason(data, pieces):
    with pytest.raises(UnreadableImageError) as caught:
        decode(data, "x.bin")
    assert all(piece in str(caught.value) for piece in pieces), caught.value


LIMITED = ("8-bit PNG", "16-bit RGB PNG", "16-bit RGB LZW TIFF", "LZW TIFF", "12-bit DICOM", "float npy")


@pytest.mark.parametrize("case", LIMITED)
def test_every_format_has_the_same_limit_on_its_decoded_size(case, monkeypatch):
    monkeypatch.setattr(image_file, "LARGEST", 34)
    with pytest.raises(UnreadableImageError, match=r"MiB of pixels; at most .* MiB are read: save it smaller"):
        decode(EXACT[case][0], "x")


@pytest.mark.parametrize(("side", "bits"), [(14_000, 16), (20_000, 8)])
def test_a_small_file_of_gigabytes_is_refused_by_its_header(side, bits):
    small = png_bytes(RGB16 if bits == 16 else RGB8)
    header = b"IHDR" + struct.pack(">IIBB", side, side, bits, 2) + small[26:29]
    bomb = small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]
    with pytest.raises(UnreadableImageError, match=r"save it smaller"):
        decode(bomb, "x")


def test_size_and_fit():
    wide = np.zeros((4, 8, 1), dtype=np.float32)
    wide[:, 2:6] = 1
    np.testing.assert_array_equal(fitted(wide, 4, "crop")[0], np.ones((4, 4)))
    padded = fitted(wide, 8, "pad")[0]
    assert padded[:2].max() == padded[6:].max() == 0
    np.testing.assert_array_equal(padded[2:6], wide[:, :, 0])
    noise = RNG.random((37, 50), dtype=np.float32)
    for size in (16, 64):
        expected = np.asarray(Image.fromarray(noise).resize((size, size), Image.Resampling.BILINEAR))
        np.testing.assert_allclose(fitted(noise[:, :, None], size, "stretch")[0], expected, atol=1e-5)


def test_the_ellipse_of_the_xray_sets_is_half_of_the_image():
    mask = ellipse_inside(2.5, 224, 224)
    assert mask.mean() == pytest.approx(0.503, abs=0.001)
    np.testing.assert_array_equal(mask, mask[::-1].T)


def test_masks_keep_half_covered_pixels_and_never_vanish():
    mask = np.zeros((8, 8), dtype=bool)
    mask[:4, :4] = True
    expected = np.zeros((4, 4), dtype=bool)
    expected[:2, :2] = True
    np.testing.assert_array_equal(fitted_mask(mask, 4, "stretch"), expected)
    speck = np.zeros((80, 80), dtype=bool)
    speck[33, 51] = True
    small = fitted_mask(speck, 8, "stretch")
    assert small[3, 5]
    assert small.sum() == 1
    assert not fitted_mask(np.zeros((80, 80), dtype=bool), 8, "stretch").any()
    edge = np.zeros((4, 12), dtype=bool)
    edge[:, 0] = True
    with pytest.raises(UnreadableImageError, match="outside the image's centre square"):
        fitted_mask(edge, 4, "crop")
