"""What files and folders of data hold: a run is of these, wherever they lie, and a table is of the same ones."""

import functools
import pathlib
import re
import zlib

import evaluations
from figures import final_runs
from folders import Place
from plan import PATHS, is_path, require

FOLDERS = ("cifar-10-batches-bin", "cifar-100-binary")  # which the trainer finds in a folder of data


def paths(options):
    return {name: value for name, value in options.items() if is_path(name, value)}


def fingerprints(study, options):
    """Of every path in the options of a run: the size and the checksum of what is there. None where nothing is."""
    dataset = options.get("dataset", "cifar10")
    return {name: fingerprint(path, dataset) for name, path in paths(study.placed(options)).items()}


@functools.cache
def fingerprint(path, dataset):
    path = pathlib.Path(path)
    if not path.exists():
        return None
    size, checksum = 0, 0
    for file in [path] if path.is_file() else _files(path, dataset):
        if file != path:
            checksum = zlib.crc32(str(file.relative_to(path)).encode(), checksum)
        with open(file, "rb") as content:
            while block := content.read(1 << 20):
                size += len(block)
                checksum = zlib.crc32(block, checksum)
    return f"{size} bytes, CRC-32 {checksum:08x}"


def _files(folder, dataset):
    """Of a folder of data: the trainer's files, not what else lies beside them."""
    inner = folder / FOLDERS[dataset == "cifar100"]
    data = sorted((inner if inner.is_dir() else folder).glob("*.bin"))
    return data or sorted(path for path in folder.rglob("*") if path.is_file())


def comments(found):
    """As lines of a file of options, which the trainer passes over."""
    return "".join(f"# {name}: {content}\n" for name, content in found.items())


def recorded(path):
    text = path.read_text(encoding="utf-8")
    return dict(re.findall(rf"^# ({'|'.join(PATHS)}): (.*)$", text, re.MULTILINE))


def require_same(study, out, by_what_is_there=True):
    """Throws Refused where a run that has begun is of other data, or starts from another network, than the study finds
    now, or than other runs that have the same path in the study."""
    known = {}
    for method in study.methods.values():
        for run in [run for trial in study.trials(method) for run in trial] + final_runs(study, method, out):
            options = Place(out, run).beside(".toml")
            if not options.exists():
                continue
            found = recorded(options)
            there = fingerprints(study, run.options) if by_what_is_there else {}
            given = paths(run.options)
            require(
                found.keys() == given.keys(),
                f"{run}: {options}: is of the contents of {_names(found)}, now of {_names(given)}; take another --out, "
                "or remove it",
            )
            for name, path in given.items():
                expected = there.get(name) or known.setdefault((name, path), found[name])
                require(
                    found[name] == expected,
                    f"{run}: {options}: {name} held {found[name]}, now {expected}; take another --out, or remove it",
                )
            if study.evaluate is not None and not run.trial:
                _require_same_evaluated(study, Place(out, run), known, by_what_is_there)


def evaluated(study, options):
    """Of all that an evaluation's options read of files: the size and the checksum, None where nothing is."""
    read = evaluations.sources(options)
    return {name: fingerprint(study.place(path), "cifar10") for name, path in read.items()}


def _require_same_evaluated(study, place, known, by_what_is_there):
    if evaluations.evaluation(study, place) is None:
        return
    found, record = evaluations.recorded(place), evaluations.folder(place)
    there = evaluated(study, study.evaluate) if by_what_is_there else {}
    for name in evaluations.sources(study.evaluate):
        expected = there.get(name) or known.setdefault(name, found.get(name))
        require(
            found.get(name) == expected,
            f"{place.run}: {record}: {name} held {found.get(name)}, now {expected}; remove it to score again",
        )


def _names(found):
    return ", ".join(sorted(found)) or "no path"
