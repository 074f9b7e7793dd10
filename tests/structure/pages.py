"""Usage: pages.py PROGRAM FOLDER
Makes the files that a program of the documents reads, as its page describes them, in the folder that it runs in."""

import itertools
import json
import math
import pathlib
import struct
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "programs"))
from pictures import png


def flowers(folder):
    for kind, colour in ("rose", (200, 0, 60)), ("tulip", (220, 200, 0)):
        for part, count in ("train", 4), ("val", 2):
            place = folder / "flowers" / part / kind
            place.mkdir(parents=True)
            for i in range(count):
                (place / f"{i}.png").write_bytes(png(12, 10, itertools.cycle(colour).__next__))


def trees(folder):
    rows = [f"{10 + i},{i / 2},{('oak', 'ash')[i % 2]}" for i in range(40)]
    (folder / "trees.csv").write_text("\n".join(["height,girth,kind", *rows]) + "\n")


def safetensors(path, tensors):
    """A file of floats 0, 1, 2 ... by names and shapes."""
    header, content = {}, b""
    for name, shape in tensors.items():
        values = range(math.prod(shape))
        begin = len(content)
        content += struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(content)]}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)


def matrices(folder):
    safetensors(folder / "others.safetensors", {"projection": [2, 3]})
    safetensors(folder / "pretrained.safetensors", {"weight": [2, 3], "bias": [2]})


MAKERS = {"data-1": flowers, "data-2": trees, "interchange-3": matrices}

MAKERS.get(sys.argv[1], lambda _: None)(pathlib.Path(sys.argv[2]))
