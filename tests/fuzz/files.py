"""Targets that damage files which commands read."""

import contextlib
import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, features

from tests.beam_pipelines.inputs.test_digit_struct import write as write_digit_struct
from tests.fuzz.mutate import damage, damage_json
from tests.fuzz.world import Case
from trainer.cli import UserError
from trainer.config import experiments, schema


def hdf5(case: Case) -> None:
    """digitStruct.mat in each layout, damaged: entries are read or counted as rejects."""
    from beam_pipelines.inputs.digit_struct import DigitBox, Entry

    rng, folder = case.rng, case.place / "in"
    folder.mkdir()
    entries = [
        Entry(f"{i}.png", tuple(DigitBox(rng.randrange(10), k * 8.0, 2, 8, 20) for k in range(rng.randrange(1, 4))))
        for i in range(1, 7)
    ]
    layout = rng.choice(["contiguous", "compact", "chunked"])
    write_digit_struct(folder / "digitStruct.mat", entries, layout, userblock_size=512, libver="earliest")
    for entry in entries:
        shutil.copy(case.world / "picture.png", folder / entry.name)
    path = folder / "digitStruct.mat"
    path.write_bytes(damage(path.read_bytes(), rng))
    if case.run("beam_pipelines.prepare", format="digitstruct", input=folder).status == 0:
        case.check_dataset(case.place / "out")


def matlab(case: Case) -> None:
    """The .mat file of SVHN's second format, damaged."""
    from scipy.io import savemat

    pixels = np.frombuffer(case.rng.randbytes(32 * 32 * 3 * 5), np.uint8).reshape(32, 32, 3, 5)
    path = case.place / "train_32x32.mat"
    labels = np.array([[1], [2], [10], [3], [4]], np.uint8)
    savemat(path, {"X": pixels, "y": labels}, do_compression=case.rng.random() < 0.5)
    path.write_bytes(damage(path.read_bytes(), case.rng))
    if case.run("beam_pipelines.prepare", format="cropped32", input=path).status == 0:
        case.check_dataset(case.place / "out")


def tfrecord(case: Case) -> None:
    """A shard, damaged: found by inspect, never trained on in silence, its sound records scored, the rest counted."""
    folder = case.copied("synthetic") / "synthetic"
    path = case.rng.choice(sorted(folder.glob("train.tfrecord-*")))
    before = path.read_bytes()
    path.write_bytes(damage(before, case.rng))
    same = path.read_bytes() == before
    found = case.run("beam_pipelines.inspect", (0, 1, 2), lines=40, last=folder)
    verified = case.commands("beam_pipelines.inspect", folder, "--verify")
    assert same or verified.status in (1, 2), f"the damage is not found: {verified.out} {found.out}"
    trained = case.commands("tests.fuzz.readable", folder)
    assert trained.status == (0 if same else 2), f"read although it is damaged: {trained.out}{trained.err[-2000:]}"
    if case.run("beam_pipelines.score", input=folder).status == 0:
        case.check_predictions(case.place / "out")


def labels_csv(case: Case) -> None:
    """labels.csv, damaged, in several encodings."""
    folder = case.copied("pictures") / "pictures"
    text = (folder / "labels.csv").read_text()
    data = text.encode(case.rng.choice(["utf-8", "utf-8-sig", "utf-16", "latin-1"]))
    (folder / "labels.csv").write_bytes(damage(data, case.rng))
    if case.run("beam_pipelines.prepare", input=folder).status == 0:
        case.check_dataset(case.place / "out")


def archive(case: Case) -> None:
    """A tar, compressed tar or zip of images, damaged."""
    rng, buffer = case.rng, io.BytesIO()
    data, kind = (case.world / "picture.png").read_bytes(), rng.choice(["tar", "tar", "tar", "tar.gz", "zip"])
    names = [rng.choice([f"{i}.png", f"a/{i}.JPG", "x" * 120 + f"{i}.png", f"{i}.txt"]) for i in range(5)]
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as made:
            for name in dict.fromkeys(names):
                made.writestr(name, data)
    else:
        form = rng.choice([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
        if form == tarfile.USTAR_FORMAT:
            names = [name[-100:] for name in names]  # it has no room for longer ones
        with tarfile.open(fileobj=buffer, mode="w:gz" if kind == "tar.gz" else "w", format=form) as packed:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                packed.addfile(member, io.BytesIO(data))
    path = case.place / f"in.{kind}"
    path.write_bytes(damage(buffer.getvalue(), rng))
    if case.run("beam_pipelines.score", input=path).status == 0:
        case.check_predictions(case.place / "out")


def _formats() -> list[str]:
    Image.init()
    unfit = {"PDF", "MPEG", "HDF5", "GRIB", "BUFR", "WMF", "PALM"}  # not read, or only with other programs
    both = set(Image.SAVE) & set(Image.OPEN) - unfit
    written = {ending for ending, file_format in Image.registered_extensions().items() if file_format in both}
    return sorted(written - (set() if features.check("avif") else {".avif", ".avifs"}))


def images(case: Case) -> None:
    """Images in each format that Pillow writes, damaged: score, prepare and predict agree on which can be read."""
    folder = case.place / "in"
    (folder / "images").mkdir(parents=True)
    names = []
    for i in range(24):
        ending = case.rng.choice(_formats())
        shape = (case.rng.randrange(1, 60), case.rng.randrange(1, 60), 3)
        image = Image.fromarray(np.frombuffer(case.rng.randbytes(int(np.prod(shape))), np.uint8).reshape(shape))
        image = image.convert(case.rng.choice(["RGB", "L", "P", "RGBA", "1", "CMYK", "LA"]))
        buffer = io.BytesIO()
        with contextlib.suppress(Exception):  # not every format stores every mode
            image.save(buffer, Image.registered_extensions()[ending])
            data = buffer.getvalue()
            names.append(f"{i}{ending}")
            (folder / "images" / names[-1]).write_bytes(damage(data, case.rng) if case.rng.random() < 0.8 else data)
    (folder / "labels.csv").write_text("file,label\n" + "".join(f"{name},1\n" for name in names))
    paths = [folder / "images" / name for name in names]
    (case.place / "list.txt").write_text("".join(f"{path}\n" for path in paths))
    scored = case.run("beam_pipelines.score", input=case.place / "list.txt", output=case.place / "scored")
    assert scored.status == 0
    case.check_predictions(case.place / "scored")
    by_score = _kept(case.place / "scored" / "_rejects.jsonl", names)
    if case.run("beam_pipelines.prepare", input=folder).status == 0:
        case.check_dataset(case.place / "out")
        by_prepare = _kept(case.place / "out" / "rejects.jsonl", names)
        assert by_score == by_prepare, f"score and prepare differ: {sorted(by_score ^ by_prepare)}"
    predicted = case.commands("trainer.predict", "--model", case.world / "model", "--format", "json", *paths)
    assert predicted.status in (0, 2), predicted.err[-3000:]
    by_predict = {Path(json.loads(line)["key"]).name for line in predicted.out.splitlines()}
    assert by_score == by_predict, f"score and predict differ: {sorted(by_score ^ by_predict)}"


def _kept(rejects: Path, names: list[str]) -> set[str]:
    lines = rejects.read_text().splitlines() if rejects.exists() else []
    return set(names) - {Path(json.loads(line)["key"]).name for line in lines}


def json_files(case: Case) -> None:
    """A JSON file of ours with odd values: each command that reads it names it in one line, or does not mind."""
    name, modules = case.rng.choice(
        [
            ("run/config.json", ["trainer.report", "trainer.export", "trainer.evaluate", "trainer.train"]),
            ("run/calibration.json", ["trainer.export"]),
            ("run/evaluation.json", ["trainer.report"]),
            ("run/metrics.jsonl", ["trainer.report"]),
            ("run/answers.jsonl", ["trainer.report"]),
            ("predictions/_summary.json", ["trainer.report", "beam_pipelines.score"]),
            ("predictions/predictions-00000-of-00002.jsonl", ["trainer.report"]),
            ("model/assets/model_info.json", ["beam_pipelines.score", "trainer.predict"]),
            ("synthetic/dataset_info.json", ["beam_pipelines.inspect", "tests.fuzz.readable"]),
        ]
    )
    path = case.copied(name.split("/")[0]) / name
    lines = path.read_text().splitlines() if name.endswith("l") else [path.read_text()]
    at = case.rng.randrange(len(lines))
    lines[at] = damage_json(lines[at], case.rng)
    path.write_text("\n".join(lines) + "\n")
    module = case.rng.choice(modules)
    if module == "tests.fuzz.readable":
        ended = case.commands(module, case.place / "synthetic")
        assert ended.status in (0, 2), ended.err[-3000:]
    elif module == "trainer.train":
        case.run(module, (0, 2, 42), workdir=case.place / "run")
    elif module == "beam_pipelines.score" and name.startswith("predictions"):
        case.run(module, output=case.place / "predictions")
    else:
        case.run(module, (0, 1, 2) if module == "beam_pipelines.inspect" else (0, 2))


def settings(case: Case) -> None:
    """`--set` with odd values, a thousand a case, in this process: refused in one line, or a configuration."""
    wanted = experiments.find(case.rng.choice(["smoke", "compact", "released", "svhn_rnn"]))
    keys = schema.keys(wanted)
    for _ in range(1000):
        key, value = case.rng.choice(keys), damage_json("[1, 0.5, [2, 3]]", case.rng)
        with contextlib.suppress(ValueError):  # not every damaged text is JSON
            value = json.loads(value)
        text = case.rng.choice([f"{key}={json.dumps(value)}", f"{key}={value}", f"{key}", f"{key}.x={value}"])
        with contextlib.suppress(UserError):
            made = schema.override(wanted, [text])
            assert schema.from_json(made.to_json()) == made, text


TARGETS = (hdf5, matlab, tfrecord, labels_csv, archive, images, json_files, settings)
