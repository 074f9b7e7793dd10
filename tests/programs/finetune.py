"""Usage: finetune.py CIFAR FINETUNE CONFIGS [EVALUATE]
Images of one's own: folders of them and .npy pairs are trained on, a killed run goes on to the same bits, other files
are refused by name, and the program finetune starts the trainer with its recipe."""

import array
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import time
import zlib

from trainer import check, check_same, main, refused, results, run, start, train

FINETUNE, CONFIGS = (pathlib.Path(path).resolve() for path in sys.argv[2:4])
EVALUATE = sys.argv[4] if len(sys.argv) > 4 else None
SMALL = "--model wrn-10-1 --epochs 3 --members 2 --release-epoch 1 --batch 4 --threads 1".split()
PIXELS = ["--image-size", "16", "--resize", "18"]


def png(width, height, shade):
    """An image that is dark or bright."""

    def byte():
        return max(0, min(255, int(127 + 50 * shade + random.gauss(0, 20))))

    rows = b"".join(b"\0" + bytes(byte() for _ in range(3 * width)) for _ in range(height))

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def write_images(folder, count):
    random.seed(1)
    for name, shade in (("bright", 1), ("dark", -1)):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            (folder / name / f"{i}.png").write_bytes(png(20 + i, 30 - i, shade))
    return folder


def write_npy(path, kind, shape, elements):
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    path.write_bytes(b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + elements)
    return path


def folders_are_trained_on(folder):
    data = ["--data", str(write_images(folder / "images", 14)), "--dataset", "folder"] + PIXELS
    longer = [*SMALL, "--epochs", "8", "--lr", "0.05", "--held-out", "4", "--best"]
    printed, _ = train(folder / "run", *data, *longer)
    check("images: 18 training and 6 test images" in printed, printed)
    check("best: " in printed, printed)
    served = results(folder / "run")["summary"]["results"][-1]
    check(served["test_accuracy"] > 0.7, f"not learnt: {printed}")  # half of them by chance
    train(folder / "same", *data, *longer, "--threads", "3")
    check_same(folder / "same", results(folder / "run"), "with three threads")
    done = run("--eval", folder / "run" / "checkpoint.lpw", "--data", folder / "images")
    check(done.returncode == 0 and "scored on 10 samples" in done.stdout, done.stdout + done.stderr)
    if EVALUATE:
        for data in (["--test", str(folder / "images")], []):
            done = subprocess.run(
                [EVALUATE, "--network", folder / "run", "--data", folder / "images", "--out", folder / "scores", *data],
                capture_output=True,
                text=True,
            )
            check(done.returncode == 0, done.stderr)
            check(f"{28 if data else 6} test images" in done.stdout, done.stdout)
            shutil.rmtree(folder / "scores")


def killed_runs_go_on(folder):
    data = ["--data", str(write_images(folder / "images", 12)), "--dataset", "folder"] + PIXELS
    arguments = data + SMALL + ["--checkpoint-minutes", "0.000001", "--epochs", "6"]
    _, seconds = train(folder / "run", *arguments)
    process = start(*arguments, "--out", folder / "killed")
    time.sleep(seconds * 0.6)
    process.kill()
    process.communicate()
    train(folder / "killed", *arguments, "--resume")
    check_same(folder / "killed", results(folder / "run"), "killed and resumed")

    def other_images_are_refused():
        refused(*arguments, "--out", folder / "run", "--resume", says="belongs to a run with other options: images was")

    dark = folder / "images" / "dark"
    dark.rename(folder / "images" / "almost-dark")  # the first of the classes now
    other_images_are_refused()
    (folder / "images" / "almost-dark").rename(dark)
    content = (dark / "0.png").read_bytes()
    (dark / "0.png").write_bytes(content + b"more")
    other_images_are_refused()
    (dark / "0.png").write_bytes(content)
    train(folder / "run", *arguments, "--resume")
    (dark / "0.png").unlink()
    other_images_are_refused()


def arrays_are_trained_on(folder):
    random.seed(2)
    pixels = bytes(random.randrange(256) for _ in range(24 * 12 * 10))
    images = write_npy(folder / "x.npy", "|u1", "(24, 12, 10, 1)", pixels)
    labels = write_npy(folder / "y.npy", "<i8", "(24,)", array.array("q", [i % 3 for i in range(24)]).tobytes())
    printed, _ = train(folder / "run", "--data", f"{images}:{labels}", *SMALL, "--split", "0.25")
    check("x: 18 training and 6 test images" in printed, printed)
    done = run("--eval", folder / "run" / "model.safetensors", "--data", f"{images}:{labels}", "--split", "0.25")
    check(done.returncode == 0 and "scored on 6 samples" in done.stdout, done.stdout + done.stderr)
    if EVALUATE:
        pair = f"{images}:{labels}"
        command = [EVALUATE, "--network", folder / "run", "--data", pair, "--test", pair, "--out", folder / "scores"]
        done = subprocess.run(command, capture_output=True, text=True)
        check(done.returncode == 0 and "24 test images" in done.stdout, done.stdout + done.stderr)
    refused("--data", f"{images}:{folder / 'z.npy'}", *SMALL, says=["z.npy", "No such file"])


def other_files_are_refused(folder):
    data = ["--data", str(write_images(folder / "images", 4)), "--dataset", "folder"]
    refused("--data", folder / "none", "--dataset", "folder", says="none: no such folder; name one with a folder of")
    refused(*PIXELS, says="--image-size does nothing here: the images are not decoded from files")
    refused(*data, "--resize", "100", says="--resize 100: expected at least --image-size 224")
    refused(*data, "--train-subset", "7", "--out", folder / "run", says="--train-subset 7: there are only 6 images")
    image = folder / "images" / "dark" / "1.png"
    image.write_bytes(image.read_bytes()[:100])
    refused(*data, *PIXELS, *SMALL, "--out", folder / "run", says=["dark/1.png: damaged PNG", "remove it"])
    done = run(*data, *PIXELS, *SMALL, "--out", folder / "run2", "--damaged", "skip")
    check(done.returncode == 0 and "dark/1.png: damaged PNG" in done.stderr, done.stderr)
    check("1 images were skipped" in done.stderr, done.stderr)
    (folder / "images" / "empty").mkdir()
    refused(*data, *PIXELS, *SMALL, "--out", folder / "run3", says="empty: a class without images")


def finetune_has_its_recipe(folder):
    def plan(*arguments):
        done = subprocess.run([FINETUNE, *map(str, arguments)], capture_output=True, text=True)
        check(done.returncode == 0, done.stderr)
        return done.stdout

    data = ["--data", write_images(folder / "images", 12), "--model", "wrn-10-1"]
    printed = plan(*data, "--members", "2", "--dry-run")
    for line in ("late-lr = 0.001", 'base-gradient = "mean"', "release-epoch = 0", "members = 2", "batch = 32"):
        check(line in printed, f"no {line} in {printed}")
    printed = plan(*data, "--out", folder / "fresh", "--resume", "--dry-run")
    check("late-lr = 0.001" in printed and "epochs = 20\n" in printed, f"--resume of nothing has no recipe: {printed}")
    check("synthetic-shifted" in plan("--dry-run", "--out", folder / "demo"), "no plan of the demonstration")
    check("--image-size" in plan("-h", "--out", folder / "demo"), "-h shows no options")
    for wrong in (["--date", "x"], ["--epochs", "many"], ["--dataset", "cifar100"]):
        done = subprocess.run([FINETUNE, *wrong, "--out", folder / "demo"], capture_output=True, text=True)
        check(done.returncode != 0 and wrong[0] in done.stderr, f"{wrong}: {done.stdout}{done.stderr}")
    check(not (folder / "demo-pretrained").exists(), "it trained before its options were read")
    configs = sorted(CONFIGS.glob("finetune-*.toml"))
    check([path.stem[9:] for path in configs] == ["densenet161", "resnet152", "resnet50"], f"found {configs}")
    for path in configs:
        check(f'model = "{path.stem[9:]}"' in path.read_text(), path)
        printed = plan("--config", path, *data, "--members", "4", "--dry-run")
        for line in ("lr = 1e-04", "late-lr = 0.001", 'schedule = "steps:10:0.1"', "momentum = 0.9", "epochs = 20"):
            check(line in printed, f"{path}: no {line} in {printed}")
    check("--image-size" in plan("--help"), "no options")
    quick = "--epochs 1 --train-subset 200 --test-subset 50 --batch 25 --threads 1".split()
    (folder / "demo-pretrained").mkdir()
    first = "--data synthetic-half --model wrn-10-1 --members 1 --late none --normalization 0.5/0.22".split()
    train(folder / "demo-pretrained", *first, *quick)
    printed = plan("--out", folder / "demo", *quick, "--schedule", "constant")
    check("start from" in printed and "4 members averaged" in printed, printed)


main(folders_are_trained_on, killed_runs_go_on, arrays_are_trained_on, other_files_are_refused, finetune_has_its_recipe)
