"""Measure a finder, and the recogniser that reads what it finds, on datasets with boxes."""

import dataclasses
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer import graph, progress, provenance
from trainer.data.formats import dataset_info, records
from trainer.data.formats.records import Record
from trainer.data.pipeline import leakage
from trainer.data.pipeline.untuned import untuned
from trainer.files import whole_file
from trainer.inference.decoding import beam_width
from trainer.inference.evaluating import attention, photo_metrics
from trainer.inference.evaluating.photo_metrics import PhotoAnswer
from trainer.inference.exports.exported_model import ExportedModel
from trainer.inference.load import load_finder, read_region_calibration
from trainer.inference.measuring import calibration, finding_metrics
from trainer.inference.measuring.finding_metrics import Found
from trainer.inference.photos import region_calibration
from trainer.inference.photos.photo_reader import MOST_REGIONS, PhotoReader, of_strings
from trainer.inference.photos.region_calibration import RegionCalibration
from trainer.workdir import files

BATCH = 16


def evaluate(
    workdir: str,
    data: list[str],
    split: str,
    reader: ExportedModel,
    *,
    allow_seen: bool,
    calibrate: bool,
    settings: Sequence[str] = (),
) -> dict[str, Any]:
    """Evaluate the best checkpoint of a finder's work folder, and what `reader` reads in the regions it finds.

    Args:
      workdir: of the finder.
      data, split: datasets with boxes, and the split to read.
      reader: the recogniser.
      allow_seen: accept images that the finder was trained on.
      calibrate: fit the confidence of regions on these images and store it, for `trainer.export`.
      settings: see `load_finder`.
    Returns:
      `finding` from `finding_metrics.summarise`, `reading` from `photo_metrics.summarise`, `step`, `data`, `split` and
      the reader's fingerprint; they and each answer are also stored in the work folder.
    Raises:
      UserError: the work folder or a dataset is not usable, or images were trained on.
    """
    found = load_finder(workdir, settings)
    stored = None if calibrate else read_region_calibration(workdir, found, reader.info["fingerprint"])
    photos = PhotoReader(
        found.finder, of_strings(reader.fitted), reader.image_size, RegionCalibration(), most=MOST_REGIONS
    )
    begin = time.monotonic()
    answers = _answers(photos, reader, workdir, data, split, allow_seen=allow_seen)
    calibrated = RegionCalibration.from_json(stored) if stored else RegionCalibration()
    measured = {"step": found.step, "data": data, "split": split, "reader": reader.info["fingerprint"]}
    measured["decode"] = found.decode
    made = provenance.gather() | {"seconds": round(time.monotonic() - begin, 1)}
    if calibrate:
        calibrated = region_calibration.fit(
            np.stack([a.scores for a in answers]),
            np.stack([a.readings for a in answers]),
            np.stack([_lengths(a) for a in answers]),
            np.stack([a.right() for a in answers]),
        )
    answers = [_confident(answer, calibrated) for answer in answers]
    if calibrate:
        stored_too = {**calibrated.to_json(), "thresholds": _thresholds(answers)}
        # Exported models contain this file, so it leaves out the command line and the local folder.
        whole_file.write_json(f"{workdir}/{files.CALIBRATION_FILE}", {**measured, **stored_too})
    summary = {**measured, "datasets": dataset_info.identities(data), "made": made}
    summary["finding"] = finding_metrics.summarise([Found(a.truth, a.corners[1:], a.scores[1:]) for a in answers])
    summary["reading"] = photo_metrics.summarise(answers)
    attention.add_to_photos(rows := [_row(answer) for answer in answers], _shards(data, split), reader)
    whole_file.write(f"{workdir}/{files.ANSWERS_FILE}", "".join(json.dumps(row) + "\n" for row in rows))
    whole_file.write_json(f"{workdir}/{files.EVALUATION_FILE}", summary)
    return summary


def _answers(
    photos: PhotoReader, reader: ExportedModel, workdir: str, data: list[str], split: str, *, allow_seen: bool
) -> list[PhotoAnswer]:
    """Read all photos of a split.

    Raises:
      UserError: a dataset is not usable, or photos were trained on and `allow_seen` is not set.
    """
    candidates = reader.info["beam_width"]
    width = tf.constant(beam_width.width_for(candidates))
    regions = graph.compiled(
        lambda encoded: photos.regions(encoded, width, tf.constant(candidates)),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    shards = _shards(data, split)
    total = sum(dataset_info.read_info(folder).splits[split].records for folder in data)
    trained_on, answers = leakage.remembered(workdir), []
    read = (serialized.numpy() for serialized in untuned(tf.data.TFRecordDataset(shards).batch(BATCH)))
    for serialized in progress.batches("evaluating", read, total):
        batch = [records.from_example(one) for one in serialized]
        encoded = tf.constant([record.encoded for record in batch])
        if not allow_seen:
            keys = [record.key for record in batch]
            prints = leakage.fingerprints(tf.constant(keys), encoded, None).numpy()
            named = f"split {split} of {', '.join(data)}"
            leakage.check(keys, prints, trained_on, data=named, advice=leakage.EVALUATE_OTHERS)
        out = {name: value.numpy() for name, value in regions(encoded).items()}
        answers += [_answer(record, {name: value[i] for name, value in out.items()}) for i, record in enumerate(batch)]
    return answers


def _shards(data: list[str], split: str) -> list[str]:
    """Return the files of a split.

    Raises:
      UserError: a dataset is not usable, or has no such split.
    """
    return [path for one in data for path in dataset_info.shard_paths(one, dataset_info.read_info(one), split)]


def _answer(record: Record, regions: dict[str, np.ndarray]) -> PhotoAnswer:
    width, height = (float(side) for side in regions["corners"][0, 4:6])
    truth = np.array([number.corners for number in record.numbers]).reshape(-1, 8) * np.tile([width, height], 4)
    return PhotoAnswer(
        key=record.key,
        size=(int(width), int(height)),
        labels=tuple(number.text for number in record.numbers),
        truth=truth,
        candidates=tuple(tuple(text.decode() for text in texts) for texts in regions["text"]),
        corners=regions["corners"],
        scores=regions["score"],
        readings=regions["confidence"],
        confidences=regions["confidence"],
    )


def _confident(answer: PhotoAnswer, calibrated: RegionCalibration) -> PhotoAnswer:
    regions = [tf.constant(values[np.newaxis]) for values in (answer.scores, answer.readings, _lengths(answer))]
    return dataclasses.replace(answer, confidences=calibrated.confidence(*regions).numpy()[0])


def _lengths(answer: PhotoAnswer) -> NDArray[np.int32]:
    return np.array([len(text) for text in answer.texts], np.int32)


def _thresholds(answers: list[PhotoAnswer]) -> list[dict[str, Any]]:
    """Return `calibration.thresholds` and what to expect of them for the best answer of each photo.

    An answer for a photo without a number is wrong.
    """
    confidences = np.array([a.confidences[a.best] for a in answers])
    right = np.array([a.best_right for a in answers])
    pairs = zip(calibration.thresholds(confidences, right), calibration.expected(confidences, right), strict=True)
    return [chosen | on_others for chosen, on_others in pairs]


def _row(answer: PhotoAnswer) -> dict[str, Any]:
    """Return the answer as a JSON object."""
    numbers = [
        {
            "text": answer.texts[i],
            "candidates": list(answer.candidates[i]),
            "confidence": round(float(answer.confidences[i]), 4),
            "score": round(float(answer.scores[i]), 4),
            "reading": round(float(answer.readings[i]), 4),
            "box": [round(float(c), 1) for c in answer.corners[i]],
        }
        for i in np.argsort(-answer.confidences, kind="stable")
        if answer.scores[i] > 0
    ]
    return {
        "key": answer.key,
        "labels": list(answer.labels),
        "right": answer.best_right,
        "numbers": numbers,
        "size": list(answer.size),
        "truth": [[round(float(c), 1) for c in corners] for corners in answer.truth],
    }


def table(summary: dict[str, Any]) -> str:
    """Return the figures as a table with a heading."""
    finding, reading = summary["finding"], summary["reading"]
    low, high = reading["interval_95"]
    rows = [
        ("best number right", f"{reading['best_accuracy']:.2%}  (95 % interval {low:.2%} to {high:.2%})"),
        (
            "numbers found and right",
            f"F1 {reading['text_f1']:.2%}, precision {reading['text_precision']:.2%}, recall "
            f"{reading['text_recall']:.2%}",
        ),
        (
            "numbers found",
            f"F1 {finding['f1']:.2%}, precision {finding['precision']:.2%}, recall "
            f"{finding['recall']:.2%}, from score {finding['threshold']:.2f} on",
        ),
        ("best box right", f"{finding['best_recall']:.2%}"),
        ("empty photos answered", f"{reading['empty_answered']:.2%}  of {reading['empty']}"),
    ]
    rows += [
        (name, f"{group['best_accuracy']:.2%}  of {group['photos']}")
        for kind in ("by_area", "by_layout", "by_angle")
        for name, group in reading[kind].items()
    ]
    heading = (
        f"{reading['photos']} photos with numbers and {reading['empty']} without, of {', '.join(summary['data'])}, "
        f"checkpoint of step {summary['step']}"
    )
    return "\n".join([heading, *(f"  {name:<26}{value}" for name, value in rows)])
