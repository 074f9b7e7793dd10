#!/usr/bin/env python3
"""Holds decoded and resized pictures to Pillow's. Usage: pictures.py PROGRAM (lpw_interop_pictures)."""

import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    from PIL import Image, ImageOps, __version__
except ImportError:
    print("SKIPPED: no NumPy or Pillow")
    sys.exit(77)

PROGRAM = sys.argv[1]
random = np.random.default_rng(0)
# Pillow 13 resizes columns before rows where it finds that cheaper, and rounds to bytes between.
DIFFERENCE = 1 if int(__version__.split(".")[0]) >= 13 else 0


def photograph(height, width):
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 17 + y / 29), np.cos(x / 11 - y / 13), np.sin(x * y / 3000)]
    noisy = 127 + 110 * np.stack(waves, -1) + random.normal(0, 8, (height, width, 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def found(folder, path, *arguments):
    out = folder / "out"
    run = subprocess.run([PROGRAM, path, out, *map(str, arguments)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return np.fromfile(out, np.uint8).reshape(*map(int, run.stdout.split()), 3).astype(int)


def distance(pixels, image):
    expected = np.asarray(image).astype(int)
    assert pixels.shape == expected.shape, (pixels.shape, expected.shape)
    return np.abs(pixels - expected).max()


def write_files(folder):
    image = photograph(101, 77)
    photograph(375, 500).save(folder / "photograph.jpg", quality=90)
    image.save(folder / "progressive.jpg", progressive=True)
    image.save(folder / "full.jpg", subsampling=0)
    image.convert("L").save(folder / "grey.jpg")
    image.convert("CMYK").save(folder / "cmyk.jpg")
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x112] = orientation
        image.save(folder / f"turned{orientation}.jpg", exif=exif)
    image.save(folder / "colour.png")
    for mode, name in (("P", "palette"), ("L", "grey"), ("1", "bits"), ("RGBA", "alpha"), ("LA", "grey_alpha")):
        image.convert(mode).save(folder / f"{name}.png")


def check(folder):
    write_files(folder)
    images = {}
    for path in sorted(folder.iterdir()):
        images[path.name] = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        # The library is the same, by default settings.
        assert distance(found(folder, path, "whole"), images[path.name]) == 0, path
    path, image = folder / "photograph.jpg", images["photograph.jpg"]
    for height, width in ((224, 224), (100, 333), (500, 600), (17, 19), (1, 1)):
        expected = image.resize((width, height), Image.BILINEAR)
        assert distance(found(folder, path, "resize", height, width), expected) <= DIFFERENCE, (height, width)
    for top, left, height, width in ((10, 20, 300, 250), (0, 0, 50, 60), (370, 0, 5, 500), (100, 100, 1, 1)):
        box = image.crop((left, top, left + width, top + height)).resize((224, 224), Image.BILINEAR)
        assert distance(found(folder, path, "crop", top, left, height, width, 224), box) <= DIFFERENCE, (top, left)
    for name in ("photograph.jpg", "full.jpg", "turned6.jpg"):
        image = images[name]
        short = min(image.size)
        size = tuple(256 * side // short for side in image.size)
        left, top = (round((side - 224) / 2) for side in size)
        expected = image.resize(size, Image.BILINEAR).crop((left, top, left + 224, top + 224))
        assert distance(found(folder, folder / name, "centre", 256, 224), expected) <= DIFFERENCE, name


with tempfile.TemporaryDirectory() as name:
    check(pathlib.Path(name))
