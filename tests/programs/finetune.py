"""Usage: finetune.py CIFAR FINETUNE CONFIGS [EVALUATE]
Images of one's own: folders of them and .npy pairs are trained on, a killed run goes on to the same bits, other files
are refused by name, and the program finetune starts the trainer with its recipe."""

import array
import json
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import time

from pictures import png
from trainer import check, check_same, main, refused, results, run, start, train

FINETUNE, CONFIGS = (pathlib.Path(path).resolve() for path in sys.argv[2:4])
EVALUATE = sys.argv[4] if len(sys.argv) > 4 else None
SMALL = "--model wrn-10-1 --epochs 3 --members 2 --release-epoch 1 --batch 4 --threads 1".split()
PIXELS = ["--image-size", "16", "--resize", "18"]


def colour(shade):
    """Of an image that is dark or bright."""
    return max(0, min(255, int(127 + 50 * shade + random.gauss(0, 20))))


def write_images(folder, count):
    random.seed(1)
    for name, shade in (("bright", 1), ("dark", -1)):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            (folder / name / f"{i}.png").write_bytes(png(20 + i, 30 - i, lambda: colour(shade)))
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


def notes_of(model):
    content = model.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    return json.loads(content[8 : 8 + length])["__metadata__"]


def networks_know_their_images(folder):
    """A network's file says how its images were split and read, and which classes it tells apart."""
    images = write_images(folder / "images", 10)
    data = ["--data", str(images), "--dataset", "folder"]
    made = ["--image-size", "16", "--split", "0.3", "--split-seed", "5"]
    once = [*SMALL, "--epochs", "1", "--release-epoch", "0"]
    train(folder / "run", *data, *made, *once)
    model = folder / "model.safetensors"
    shutil.copy(folder / "run" / "model.safetensors", model)
    expected = {"image-size": "16", "resize": "18", "split": "0.3", "split-seed": "5", "classes": '["bright","dark"]'}
    check(expected.items() <= notes_of(model).items() and "normalization" in notes_of(model), notes_of(model))
    others = write_images(folder / "others", 4)
    (others / "dark").rename(others / "darker")
    older = folder / "older.safetensors"
    content = model.read_bytes()
    for name in (
        b'"image-size"',
        b'"resize"',
        b'"damaged"',
        b'"split"',
        b'"split-seed"',
        b'"split-images"',
        b'"classes"',
    ):
        content = content.replace(name, b'"_' + name[2:])
    older.write_bytes(content)
    done = run("--eval", model, "--data", images)
    check(done.returncode == 0 and "scored on 6 samples" in done.stdout, done.stdout + done.stderr)
    check("warning" not in done.stdout, done.stdout)
    refused("--eval", model, "--data", images, "--split-seed", 1, says="trained with --split-seed 5; leave out")
    says = "tells bright and dark apart, and"
    refused("--eval", model, "--data", others, says=[says, "has bright and darker; name data of the same classes"])
    refused("--eval", folder / "run" / "checkpoint.lpw", "--data", others, says=says)
    done = run("--eval", older, "--data", images, "--image-size", "16")
    check("does not say which part of the images it was not trained on" in done.stdout, done.stdout)
    there = ["--data", str(others), "--dataset", "folder", "--image-size", "16"]
    printed, _ = train(folder / "new", *there, *once, "--init", model)
    check("new: 'fc.weight' and 'fc.bias'" in printed, printed)
    check("tells bright and dark apart, and here are bright and darker: the head is new" in printed, printed)
    if not EVALUATE:
        return
    score = lambda *arguments: subprocess.run([EVALUATE, *map(str, arguments)], capture_output=True, text=True)
    done = score("--network", model, "--data", images)
    check(done.returncode == 0 and "6 test images" in done.stdout and "warning" not in done.stdout, done.stdout)
    larger = folder / "larger.safetensors"
    done = score("--network", folder / "run", "--data", images, "--image-size", "24", "--export", larger)
    check(done.returncode == 0 and notes_of(larger)["image-size"] == "24", done.stderr)
    check(notes_of(larger) | {"image-size": "16", "resize": "18"} == notes_of(model), notes_of(larger))
    done = score("--network", older, "--data", images, "--image-size", "16")
    check("6 test" not in done.stdout and "does not say which part" in done.stdout, done.stdout + done.stderr)
    check(says in score("--network", model, "--data", others).stderr, "other classes are scored")
    train(folder / "seed", *data, "--image-size", "16", "--split", "0.3", *once)
    done = score("--network", model, "--network", folder / "seed", "--data", images)
    check(done.returncode == 1 and "with --split-seed 0, and" in done.stderr, done.stderr)
    done = score("--network", model, "--network", older, "--data", images)
    says = (
        f"older.safetensors does not say which part of the images it was not trained on; taken is that of --split 0.3"
    )
    check(done.returncode == 0 and says in done.stdout and "6 test images" in done.stdout, done.stdout + done.stderr)
    done = score("--network", model, "--data", images, "--test", images)
    check(done.returncode == 0 and "20 test images" in done.stdout, done.stdout + done.stderr)


def splits_are_known_again(folder):
    """Images that were trained on are not scored in silence, whatever became of the folder since."""
    score = lambda *arguments: subprocess.run([EVALUATE, *map(str, arguments)], capture_output=True, text=True)
    images = write_images(folder / "images", 10)
    data = ["--data", str(images), "--dataset", "folder", "--image-size", "16"]
    once = [*SMALL, "--epochs", "1", "--release-epoch", "0"]
    train(folder / "run", *data, *once)
    model, checkpoint = folder / "run" / "model.safetensors", folder / "run" / "checkpoint.lpw"
    printed, _ = train(folder / "seed", *data, *once, "--split-seed", "1", "--init", model)
    says = f"{model} was trained on another part of folder images, maybe on test images of here; "
    says += "--split 0.2 --split-seed 0"
    check(f"warning: {says} is its own" in printed, printed)
    printed, _ = train(folder / "same", *data, *once, "--init", model)
    check("another part" not in printed, printed)
    (folder / "parted").mkdir()
    shutil.copytree(images, folder / "parted" / "train")
    shutil.copytree(images, folder / "parted" / "val")
    train(folder / "whole", "--data", str(folder / "parted"), *data[2:], *once)
    whole = folder / "whole" / "model.safetensors"
    check("split" not in notes_of(whole) and "split-images" not in notes_of(whole), notes_of(whole))
    unknown = "does not say which part of the images it was not trained on"
    done = run("--eval", whole, "--data", images, "--export", folder / "guessed.safetensors")
    check(unknown in done.stdout and "split" not in notes_of(folder / "guessed.safetensors"), done.stdout + done.stderr)
    if EVALUATE:
        done = score("--network", whole, "--data", images)
        check(done.returncode == 0 and unknown in done.stdout, done.stdout + done.stderr)
        done = score("--network", folder / "whole", "--data", folder / "parted")
        check(done.returncode == 0 and "warning" not in done.stdout, done.stdout + done.stderr)
    for name in ("bright", "dark"):
        (images / name / "4.png").unlink()
    says = "its images were split when"
    refused("--eval", model, "--data", images, says=says)
    refused("--eval", checkpoint, "--data", images, says=says)
    if EVALUATE:
        for network in (model, checkpoint):
            check(says in score("--network", network, "--data", images).stderr, f"{network} is scored")
        done = score("--network", model, "--data", images, "--test", images)
        check(done.returncode == 0 and "18 test images" in done.stdout, done.stdout + done.stderr)


def killed_runs_go_on(folder):
    data = ["--data", str(write_images(folder / "images", 12)), "--dataset", "folder"] + PIXELS
    arguments = data + SMALL + ["--checkpoint-minutes", "0.000001", "--epochs", "6"]
    _, seconds = train(folder / "run", *arguments)
    for part in (0.6, 0.4, 0.2, 0):  # of the run's time; it may be over earlier on a busy machine
        process = start(*arguments, "--out", folder / "killed")
        time.sleep(seconds * part)
        while process.poll() is None and not (folder / "killed" / "checkpoint.lpw").exists():
            time.sleep(0.01)
        process.kill()
        process.communicate()
        if process.returncode == -signal.SIGKILL and not (folder / "killed" / "summary.json").exists():
            break
        shutil.rmtree(folder / "killed")
    check((folder / "killed").exists(), "no run was caught alive")
    train(folder / "killed", *arguments, "--resume")
    check_same(folder / "killed", results(folder / "run"), "killed and resumed")

    def other_images_are_refused():
        says = ["belongs to a run with other options: ", "images was"]
        refused(*arguments, "--out", folder / "run", "--resume", says=says)

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
    noted = ["--normalization", "0.5/0.25"]
    printed, _ = train(folder / "run", "--data", f"{images}:{labels}", *SMALL, "--split", "0.25", *noted)
    check("x: 18 training and 6 test images" in printed, printed)
    check('augment = "none"' in (folder / "run" / "config.toml").read_text(), "arrays are augmented unasked")
    model = folder / "run" / "model.safetensors"
    done = run("--eval", model, "--data", f"{images}:{labels}", "--split", "0.25", *noted)
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
    refused(*data, "--crop-area", "0.5", "--augment", "none", says="--crop-area does nothing here: no crops are drawn")
    for part in ("train", "val"):
        write_images(folder / "parted" / part, 2)
    parted = ["--data", folder / "parted", "--dataset", "folder"]
    refused(*parted, "--split", "0.3", says="--split does nothing here: these images have a test set of their own")
    refused("--data", "x.npy:y.npy", "--dataset", "cifar100", says="--dataset does nothing here: the images are those")
    refused(*data, "--train-subset", "7", "--out", folder / "run", says="--train-subset 7: there are only 6 images")
    image = folder / "images" / "dark" / "1.png"
    image.write_bytes(image.read_bytes()[:100])
    refused(*data, *PIXELS, *SMALL, "--out", folder / "run", says=["dark/1.png: damaged PNG", "remove it"])
    done = run(*data, *PIXELS, *SMALL, "--out", folder / "run2", "--damaged", "skip")
    check(done.returncode == 0 and "dark/1.png: damaged PNG" in done.stderr, done.stderr)
    check("1 images were skipped" in done.stderr, done.stderr)
    if EVALUATE:
        other = ["--network", folder / "run2", "--data", folder / "images", "--test", folder / "images"]
        done = subprocess.run([EVALUATE, *other], capture_output=True, text=True)
        check(done.returncode == 1 and "dark/1.png: damaged PNG" in done.stderr, done.stderr)
        done = subprocess.run([EVALUATE, *other, "--damaged", "skip"], capture_output=True, text=True)
        check(done.returncode == 0 and "7 test images" in done.stdout, done.stdout + done.stderr)
    (folder / "images" / "empty").mkdir()
    refused(*data, *PIXELS, *SMALL, "--out", folder / "run3", says="empty: a class without images")


def finetune_has_its_recipe(folder):
    def plan(*arguments):
        done = subprocess.run([FINETUNE, *map(str, arguments)], capture_output=True, text=True)
        check(done.returncode == 0, done.stderr)
        return done.stdout

    data = ["--data", write_images(folder / "images", 12), "--model", "wrn-10-1"]
    printed = plan(*data, "--members", "2", "--dry-run")
    expected = {"late-lr = 0.001", "lr = 5e-04", 'base-gradient = "mean"', "release-epoch = 0", "members = 2"}
    missing = (expected | {"batch = 32", "epochs = 20"}) - set(printed.splitlines())
    check(not missing, f"no {missing} in {printed}")
    check("lr = 2e-04" in plan(*data, "--members=5", "--dry-run").splitlines(), "lr is not late-lr / K")
    check(
        "lr = 5e-04" in plan(*data, "--late-lr", "+2e-3", "--members", 4, "--dry-run").splitlines(), "no sign is taken"
    )
    check("lr = 0.01" in plan(*data, "--lr", "0.01", "--dry-run").splitlines(), "another --lr is not taken")
    printed = plan(*data, "--out", folder / "fresh", "--resume", "--dry-run")
    check({"late-lr = 0.001", "epochs = 20"} <= set(printed.splitlines()), f"--resume of nothing, no recipe: {printed}")
    check("synthetic-shifted" in plan("--dry-run", "--out", folder / "demo"), "no plan of the demonstration")
    check("--image-size" in plan("-h", "--out", folder / "demo"), "-h shows no options")
    for wrong in (["--date", "x"], ["--epochs", "many"], ["--dataset", "cifar100"]):
        done = subprocess.run([FINETUNE, *wrong, "--out", folder / "demo"], capture_output=True, text=True)
        check(done.returncode != 0 and wrong[0] in done.stderr, f"{wrong}: {done.stdout}{done.stderr}")
    check(not (folder / "demo-pretrained").exists(), "it trained before its options were read")
    for wrong in (["--members", "0"], ["--members", "010x"], ["--late-lr", "nan"], ["--late-lr", ""], ["--lr", "-1"]):
        done = subprocess.run([FINETUNE, *data, *wrong, "--dry-run"], capture_output=True, text=True)
        check(done.returncode != 0 and f"{wrong[0]}: expected a" in done.stderr, f"{wrong}: {done.stderr}")
    configs = sorted(CONFIGS.glob("finetune-*.toml"))
    check([path.stem[9:] for path in configs] == ["densenet161", "resnet152", "resnet50"], f"found {configs}")
    for path in configs:
        check(f'model = "{path.stem[9:]}"' in path.read_text(), path)
        printed = plan("--config", path, *data, "--members", "4", "--dry-run")
        expected = {"lr = 1e-04", "late-lr = 0.001", 'schedule = "steps:10:0.1"', "momentum = 0.9", "epochs = 20"}
        check(expected <= set(printed.splitlines()), f"{path}: no {expected - set(printed.splitlines())} in {printed}")
    check("--image-size" in plan("--help"), "no options")
    quick = "--epochs 1 --train-subset 200 --test-subset 50 --batch 25 --threads 1".split()
    (folder / "demo-pretrained").mkdir()
    first = "--data synthetic-half --model wrn-10-1 --members 1 --late none --normalization 0.5/0.22".split()
    train(folder / "demo-pretrained", *first, *quick)
    model, one = folder / "demo-pretrained" / "model.safetensors", folder / "one.safetensors"
    each = notes_of(model)["normalization"]
    one.write_bytes(model.read_bytes().replace(f'"{each}"'.encode(), b'"0.5/0.22"'.ljust(len(each) + 2)))
    check(notes_of(one)["normalization"] == "0.5/0.22", notes_of(one))
    done = run("--eval", one, "--normalization", "0.5,0.5,0.5/0.22,0.22,0.22")
    check(done.returncode == 0 and "warning" not in done.stdout, done.stdout + done.stderr)
    printed = plan("--out", folder / "demo", *quick, "--schedule", "constant")
    check("start from" in printed and "4 members averaged" in printed, printed)


def demonstrations_have_folders_of_their_own_and_obey_signals(folder):
    (folder / "runs").mkdir()
    demo = dict(cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    started = [subprocess.Popen([FINETUNE, "--threads", "1"], **demo) for _ in range(2)]
    for process, sign in zip(started, (signal.SIGTERM, signal.SIGHUP)):
        for line in process.stdout:
            if line.startswith("epoch 1/"):
                break
        process.send_signal(sign)
        out, err = process.communicate(timeout=60)
        check(process.returncode == 128 + sign, f"{sign.name}: exit code {process.returncode}: {out}{err}")
        check("stopping after this step" in err and "--resume --out" in out, f"{sign.name}: {out}{err}")
    made = [path.name for path in (folder / "runs").iterdir()]
    check(len(made) == 4 and sum(name.endswith("-pretrained") for name in made) == 2, f"two runs have {made}")
    for path in (folder / "runs").glob("*-pretrained"):
        check((path / "checkpoint.lpw").exists(), f"{path}: lost")


main(
    folders_are_trained_on,
    networks_know_their_images,
    splits_are_known_again,
    killed_runs_go_on,
    arrays_are_trained_on,
    other_files_are_refused,
    finetune_has_its_recipe,
    demonstrations_have_folders_of_their_own_and_obey_signals,
)
