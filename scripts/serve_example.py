#!/usr/bin/env python3
"""Usage: serve_example.py MODEL.onnx IMAGE...
Tells the classes of image files with a network that `--export MODEL.onnx` or `io::save_onnx` wrote, of one member or
of several: an example of how to serve it, by onnxruntime, NumPy and Pillow alone. Images are resized, cropped and
normalised as its metadata say, and classes are called as there; an image of a network that says nothing of sizes is
scaled to what it takes."""

import argparse
import json
import sys
from pathlib import Path


def fail(message):
    sys.exit(f"serve_example: {message}")


try:
    import numpy as np
    import onnxruntime
    from PIL import Image, ImageOps
except ImportError as missing:
    fail(f"{missing}; pip install onnxruntime numpy pillow")


class Classifier:
    """A network of images in a file."""

    def __init__(self, path):
        if not path.is_file():
            fail(f"{path}: there is no such file")
        try:
            self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # of onnxruntime's many kinds
            fail(f"{path}: is not a network that onnxruntime reads: {error}")
        self.metadata = self.session.get_modelmeta().custom_metadata_map
        inputs = self.session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            fail(f"{path}: does not take images; it takes {[each.name for each in inputs]}")
        if "probabilities" not in [each.name for each in self.session.get_outputs()]:
            fail(f"{path}: has no output 'probabilities'")
        self.name, shape = inputs[0].name, inputs[0].shape
        self.channels_first = shape[1] in (1, 3)
        height, width, self.channels = (shape[i] for i in ((2, 3, 1) if self.channels_first else (1, 2, 3)))
        self.size = width, height
        if "normalization" not in self.metadata:
            print("the file's metadata has no normalization: mean 0 and deviation 1 are taken", file=sys.stderr)
        numbers = self.metadata.get("normalization", "0/1").split("/")
        self.mean, self.deviation = (np.array(each.split(","), np.float32) for each in numbers)
        self.classes = json.loads(self.metadata.get("classes", "[]"))

    def read(self, path):
        """An image [height, width, channels], normalised."""
        try:
            image = ImageOps.exif_transpose(Image.open(path)).convert("RGB" if self.channels == 3 else "L")
        except OSError as error:
            fail(f"{path}: is not an image: {error}")
        image = self.cropped(image) if "resize" in self.metadata else image.resize(self.size, Image.BILINEAR)
        pixels = np.asarray(image, np.float32).reshape(*reversed(self.size), self.channels)
        return (pixels / 255 - self.mean) / self.deviation

    def cropped(self, image):
        """The middle of an image whose shorter side has become `resize`, as where networks are scored."""
        resize, short = int(self.metadata["resize"]), min(image.size)
        image = image.resize([resize * side // short for side in image.size], Image.BILINEAR)
        left, top = (round((side - own) / 2) for side, own in zip(image.size, self.size))
        return image.crop((left, top, left + self.size[0], top + self.size[1]))

    def predict(self, images):
        """Probabilities [images, classes]."""
        batch = np.stack(images).astype(np.float32)
        if self.channels_first:
            batch = batch.transpose(0, 3, 1, 2)
        return self.session.run(["probabilities"], {self.name: np.ascontiguousarray(batch)})[0]

    def label(self, number):
        return self.classes[number] if number < len(self.classes) else f"class {number}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL.onnx")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    args = parser.parse_args()
    classifier = Classifier(args.model)
    for path, row in zip(args.images, classifier.predict([classifier.read(path) for path in args.images])):
        best = np.argsort(row)[::-1][:3]
        print(f"{path}: " + ", ".join(f"{classifier.label(each)} {row[each]:.3f}" for each in best))


if __name__ == "__main__":
    main()
