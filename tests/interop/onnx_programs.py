"""Checks what the programs export to ONNX: with the file alone, its metadata included, onnxruntime gives the scores
that the program says; of the trainer's collapsed network, and of the members that the evaluation scores. And
scripts/serve_example.py tells the class of an image.

  onnx_programs.py CIFAR EVALUATE

Exits with 0 where everything agrees, 1 where not, 77 where a module is missing.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnxruntime
except ImportError as error:
    print(f"SKIPPED: {error}; scripts/interop.sh installs it and runs this test")
    sys.exit(77)

from exported_model import RUN, TEST_IMAGES, write_cifar10

SERVE = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "serve_example.py"
sys.path.append(str(SERVE.parent))


def check(condition, message):
    if not condition:
        sys.exit(f"onnx_programs: {message}")


def scores(path, images, labels):
    """Mean negative log-likelihood and accuracy, of images as they are in files."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    check(metadata["model"] == "wrn-10-1" and metadata["dataset"] == "cifar10", f"{path.name}: metadata {metadata}")
    parts = metadata["normalization"].split("/")
    mean, deviation = (np.array(part.split(","), np.float32)[:, None, None] for part in parts)
    normal = (images / np.float32(255) - mean) / deviation
    probabilities = session.run(["probabilities"], {"input": normal.astype(np.float32)})[0].astype(np.float64)
    return -np.log(probabilities[np.arange(len(labels)), labels]).mean(), (probabilities.argmax(1) == labels).mean()


def check_scores(path, images, labels, nll, accuracy):
    found = scores(path, images, labels)
    # float32 rounds each of the sums over up to 576 products by some 1e-6 of its size, in eight layers.
    check(abs(found[0] - nll) < 1e-4 * nll, f"{path.name}: nll {found[0]}, in lpw {nll}")
    check(found[1] == accuracy, f"{path.name}: accuracy {found[1]}, in lpw {accuracy}")
    print(f"{path.name}: nll {found[0]:.6f}, in lpw {nll:.6f}; accuracy {accuracy}")


def check_served(folder, model, image):
    try:
        from PIL import Image
    except ImportError as error:
        return print(f"SKIPPED in part: {error}, which scripts/serve_example.py needs")
    Image.fromarray(image.transpose(1, 2, 0)).save(folder / "image.png")
    done = subprocess.run(
        [sys.executable, "-B", SERVE, model, folder / "image.png"], check=True, capture_output=True, text=True
    )
    check(done.stdout.count(", ") == 2 and not done.stderr, f"serve_example.py says {done.stdout}{done.stderr}")
    bad = subprocess.run([sys.executable, "-B", SERVE, model, model], capture_output=True, text=True)
    check(bad.returncode == 1 and "is not an image" in bad.stderr, f"serve_example.py says {bad.stderr}")


def check_folder(folder, run, cifar, evaluate):
    """Of images of one's own: the file says the classes' names, and how large and from what images are cut."""
    try:
        from PIL import Image
    except ImportError as error:
        return print(f"SKIPPED in part: {error}, with which images are written")
    random = np.random.default_rng(0)
    for name, shade in (("bright", 150), ("dark", 100)):
        (folder / "images" / name).mkdir(parents=True)
        for i in range(10):  # not square, and other at each side: how they are resized and cropped shows
            tall, wide = (40 - i, 20 + i) if i % 2 else (20 + i, 40 - i)
            slope = np.linspace(-70, 70, tall)[:, None, None] + np.linspace(-40, 40, wide)[None, :, None]
            pixels = np.clip(random.normal(shade + slope, 10, (tall, wide, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "images" / name / f"{i}.png")
    model = folder / "own.onnx"
    small = "--model wrn-10-1 --epochs 10 --members 1 --batch 4 --lr 0.05 --image-size 16 --threads 1".split()
    run(cifar, "--data", folder / "images", "--dataset", "folder", *small, "--out", folder / "own", "--export", model)
    other = folder / "evaluated.onnx"
    run(evaluate, "--network", folder / "own", "--data", folder / "images", "--export", other)
    sessions = [onnxruntime.InferenceSession(str(path)) for path in (model, other)]
    shapes = [session.get_inputs()[0].shape for session in sessions]
    check(shapes == [["batch", 3, 16, 16]] * 2, f"own.onnx and evaluated.onnx take {shapes}")
    metadata, again = (session.get_modelmeta().custom_metadata_map for session in sessions)
    check(metadata == again, f"evaluated.onnx: metadata {again}, expected {metadata}")
    expected = {"image-size": "16", "resize": "18", "classes": '["bright","dark"]', "split": "0.2"}
    check(expected.items() <= metadata.items(), f"own.onnx: metadata {metadata}")
    for other in (model, folder / "evaluated.onnx"):
        check_served_folder(folder, run, evaluate, other)


def check_served_folder(folder, run, evaluate, model):
    """What serve_example.py makes of each image is what the evaluation says of a folder with that image in each class:
    its mean loss is -log p(bright) p(dark) / 2."""
    from serve_example import Classifier  # which needs Pillow

    classifier = Classifier(model)
    for name, i in (("bright", 3), ("dark", 4), ("dark", 9)):
        image = folder / "images" / name / f"{i}.png"
        for each in ("bright", "dark"):
            (folder / "one" / each).mkdir(parents=True, exist_ok=True)
            shutil.copy(image, folder / "one" / each / "image.png")
        out = folder / f"{model.stem}-{name}-{i}"
        data = ["--data", folder / "images", "--test", folder / "one"]
        run(evaluate, "--network", folder / "own", *data, "--threads", 1, "--out", out)
        expected = json.loads((out / "evaluation.json").read_text())["test"]["ensemble"]["nll"]
        row = classifier.predict([classifier.read(image)])[0].astype(np.float64)
        found = -np.log(row).mean()
        # As of the trainer's: sums in float32 in another order; pixels that are resized are the same.
        check(abs(found - expected) < 1e-4 * expected, f"{model.name}, {image}: {row}, nll {found}, in lpw {expected}")
        print(f"{model.name}: {name}/{i}.png has nll {found:.6f}, in lpw {expected:.6f}")


def main(cifar, evaluate):
    def run(*arguments):
        done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True)
        check(done.returncode == 0, f"{arguments}: {done.stderr}")

    with tempfile.TemporaryDirectory(prefix="lpw-") as name:
        folder = pathlib.Path(name)
        _, _, shares, labels = write_cifar10(folder / "cifar-10-batches-bin")
        images = np.rint(shares * 255).astype(np.uint8)
        out, model, members = folder / "run", folder / "model.onnx", folder / "members.onnx"
        run(cifar, *RUN, "--members", 2, "--release-epoch", 1, "--data", name, "--out", out, "--export", model)
        summary = json.loads((out / "summary.json").read_text())
        check_scores(model, images, labels, summary["test_nll_collapsed"], summary["test_accuracy_collapsed"])

        scored = folder / "scored"
        common = ["--network", out, "--data", name, "--test-subset", TEST_IMAGES, "--threads", 1]
        run(evaluate, *common, "--take", "members", "--out", scored, "--export", members)
        ensemble = json.loads((scored / "evaluation.json").read_text())["test"]["ensemble"]
        check_scores(members, images, labels, ensemble["nll"], ensemble["accuracy"])
        check_served(folder, members, images[0])
        check_folder(folder, run, cifar, evaluate)


if __name__ == "__main__":
    main(*sys.argv[1:])
