"""The exported graphs preprocess like training, and the answer depends only on the image."""

import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

from trainer.config import experiments, schema
from trainer.data.pipeline import input_pipeline, preprocess
from trainer.inference.decoding import beam_width
from trainer.inference.exports import saved_model
from trainer.inference.exports import signatures as serving
from trainer.inference.load import load_model
from trainer.inference.predictor import Predictor
from trainer.models.recogniser import PureRecogniser
from trainer.vocab import Vocab


def make_reader(seed: int, **model: object) -> Predictor:
    """Return a predictor of a smoke model whose weights are so large that it reads each image differently."""
    wanted = schema.override(experiments.find("smoke"), [f"model.{name}={value}" for name, value in model.items()])
    recogniser = PureRecogniser(wanted.model, seed=seed)
    params = {name: tf.Variable(3 * value if "kernel" in name else value) for name, value in recogniser.params.items()}
    state = {name: tf.Variable(value) for name, value in recogniser.state.items()}
    return Predictor(recogniser, params, state, wanted)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return make_reader(1)


@pytest.fixture(scope="module")
def signatures(predictor: Predictor) -> dict:
    return serving.signatures(predictor)


@pytest.fixture(scope="module")
def encoded_images() -> list[bytes]:
    """40 image files of many sizes."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(40):
        small = Image.fromarray(rng.integers(0, 256, (3, 5, 3), np.uint8))
        buffer = io.BytesIO()
        small.resize((20 + 3 * i, 70 - i), Image.Resampling.BICUBIC).save(buffer, "PNG")
        found.append(buffer.getvalue())
    return found


def read(signatures: dict, files: list[bytes], width: int = 6, candidates: int = 3) -> dict[str, np.ndarray]:
    out = signatures["serving_default"](tf.constant(files), tf.constant(width), tf.constant(candidates))
    return {name: value.numpy() for name, value in out.items()}


def test_logits_are_those_of_training_time_preprocessing(predictor: Predictor, tiny_dataset: Path) -> None:
    held = input_pipeline.load([str(tiny_dataset)], "train", predictor.config)
    (trained,) = input_pipeline.reading_batches(held, len(held))
    shards = sorted(map(str, tiny_dataset.glob("*.tfrecord-*")))
    raw = tf.data.TFRecordDataset(shards).batch(100).get_single_element()
    files = tf.io.parse_example(raw, {"image/encoded": tf.io.FixedLenFeature([], tf.string)})["image/encoded"]
    model = predictor.config.model
    served = preprocess.normalise(preprocess.decode_and_fit(files, model))
    tokens = tf.constant(held.tokens)
    logits = []
    for images in (trained, served):
        memory, state = predictor.recogniser.encode(predictor.params, predictor.state, images)
        logits.append(predictor.recogniser.step(predictor.params, tokens[:, :1], state, memory)[0])
    np.testing.assert_allclose(logits[0], logits[1], atol=1e-5)


def test_an_export_stores_one_search_for_all_signatures(tiny_model: Path) -> None:
    """Tracing takes most of the time of an export, and loading a model takes longer the larger its graph is."""
    saved = saved_model_pb2.SavedModel.FromString((tiny_model / "saved_model.pb").read_bytes())
    stored = Counter(
        node.op for function in saved.meta_graphs[0].graph_def.library.function for node in function.node_def
    )
    steps = json.loads((tiny_model / "assets" / "model_info.json").read_text())["max_length"] + 1
    assert stored["TopKV2"] == steps
    assert stored["Softmax"] == 3  # a decoder's step attends once: the first, all later ones, and those of `attention`


def test_width_1_is_greedy(predictor: Predictor, signatures: dict, encoded_images: list[bytes]) -> None:
    out = read(signatures, encoded_images, width=1, candidates=1)
    model, vocab = predictor.config.model, Vocab(predictor.config.model.alphabet)
    images = preprocess.normalise(preprocess.decode_and_fit(tf.constant(encoded_images), model))
    memory, state = predictor.recogniser.encode(predictor.params, predictor.state, images)
    tokens, texts = tf.fill([len(encoded_images), 1], vocab.start), [""] * len(encoded_images)
    ended = np.zeros(len(encoded_images), bool)
    for t in range(model.max_length):
        logits, state, _ = predictor.recogniser.step(predictor.params, tokens, state, memory)
        scores = logits.numpy()[:, 0]
        scores[:, vocab.start] = -np.inf
        if t == 0:
            scores[:, vocab.end] = -np.inf
        best = scores.argmax(axis=-1)
        ended |= best == vocab.end
        texts = [text if end else text + vocab.decode([i]) for text, i, end in zip(texts, best, ended, strict=True)]
        tokens = tf.constant(best[:, np.newaxis], tf.int32)
    assert [text.decode() for text in out["text"][:, 0]] == texts
    assert len(set(texts)) > 1


def test_the_width_and_the_number_of_candidates_are_inputs(signatures: dict, encoded_images: list[bytes]) -> None:
    widest = read(signatures, encoded_images, width=20, candidates=20)
    assert widest["text"].shape == widest["log_prob"].shape == (40, 20)
    assert widest["confidence"].shape == (40,)
    for row in widest["text"]:
        assert len(set(row)) == 20
    few = read(signatures, encoded_images, width=20, candidates=2)
    np.testing.assert_array_equal(few["text"], widest["text"][:, :2])
    np.testing.assert_array_equal(few["confidence"], widest["confidence"])
    greedy = read(signatures, encoded_images, width=1)["log_prob"][:, 0]
    assert read(signatures, encoded_images, width=2, candidates=9)["text"].shape == (40, 2)
    assert (widest["log_prob"][:, 0] - greedy >= -1e-6 * np.abs(greedy)).all()  # some are below -1000, in float32
    for sizes in ({"width": 0}, {"candidates": 0}):
        with pytest.raises(tf.errors.InvalidArgumentError, match="must be at least 1"):
            read(signatures, encoded_images, **sizes)


def test_evaluation_and_the_exported_model_search_as_wide(
    predictor: Predictor, signatures: dict, encoded_images: list[bytes]
) -> None:
    """Evaluation and serving use the same beam, wider than the number of candidates."""
    model = predictor.config.model
    images = preprocess.decode_and_fit(tf.constant(encoded_images), model)
    evaluated = predictor.read(preprocess.normalise(images))
    served = read(signatures, encoded_images, *beam_width.sizes(None, None, predictor.config.decode.beam_width))
    narrow = read(signatures, encoded_images, width=3)
    assert evaluated["text"].shape == (40, 3)
    np.testing.assert_array_equal(evaluated["text"][:, 0], served["text"][:, 0])
    np.testing.assert_allclose(
        evaluated["log_prob"], served["log_prob"], rtol=1e-4, atol=1e-3
    )  # texts may change places in a tie
    gained = served["log_prob"] - narrow["log_prob"]
    assert gained.mean() > 0  # not of every image: a beam that is wider may lose what a narrow one keeps
    assert (gained[:, 2] > 1e-2).any()


def test_the_answer_does_not_depend_on_the_batch(signatures: dict, encoded_images: list[bytes]) -> None:
    together = read(signatures, encoded_images)
    for order in ([7], [7, 3], list(range(40))[::-1]):
        out = read(signatures, [encoded_images[i] for i in order])
        np.testing.assert_array_equal(out["text"], together["text"][order])
        np.testing.assert_allclose(out["log_prob"], together["log_prob"][order], rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(out["confidence"], together["confidence"][order], atol=1e-4)


def opinionless(seed: int, bias: dict[int, float], **model: object) -> Predictor:
    """A model that ignores the image: its logits are 0 except for some tokens."""
    predictor = make_reader(seed, **model)
    for name, value in predictor.params.items():
        if "logits" in name:
            wanted = [bias.get(token, 0.0) for token in range(predictor.vocab.size)] if "bias" in name else 0.0
            value.assign(tf.broadcast_to(tf.constant(wanted), value.shape))
    return predictor


def test_ties_are_broken_the_same_way_each_time() -> None:
    """If all digits are equally probable, the lower ones come first."""
    found = opinionless(1, {}).read(tf.zeros([3, 16, 32, 3]), 4)
    np.testing.assert_array_equal(found["text"], [[b"00000", b"00001", b"00002", b"00003"]] * 3)


@pytest.mark.parametrize("max_length", [1, 5, 8])
def test_every_length_can_be_read(max_length: int) -> None:
    """A model in which one digit and the end token are equally probable."""
    found = opinionless(2, {3: 30.0, 11: 30.0}, max_length=max_length).read(tf.zeros([2, 16, 32, 3]), max_length)
    for row in found["text"].numpy():
        assert sorted(row) == [b"3" * length for length in range(1, max_length + 1)]


def test_attention_says_where_the_model_looked(signatures: dict, encoded_images: list[bytes]) -> None:
    out = signatures["attention"](tf.constant(encoded_images[:5]))
    np.testing.assert_array_equal(out["text"], read(signatures, encoded_images[:5])["text"][:, 0])
    assert out["attention"].shape == (5, 6, 4, 8)
    np.testing.assert_allclose(tf.reduce_sum(out["attention"], axis=[2, 3]), 1.0, atol=1e-5)


def weights(exported: Path) -> tuple[dict, dict]:
    """Return the parameters and the state of the model, from its work folder."""
    _, _, params, state, _ = load_model(str(exported.parent / "run"))
    return params, state


def test_the_fingerprint_is_that_of_the_weights(tiny_model: Path) -> None:
    params, state = weights(tiny_model)
    before = saved_model.fingerprint(params, state)
    assert before == saved_model.fingerprint(*weights(tiny_model))
    changed = next(iter(state.values()))
    changed.assign(tf.cast(tf.ones_like(changed), changed.dtype) * 7)
    assert saved_model.fingerprint(params, state) != before


def test_an_exported_model_says_what_it_takes(tiny_model: Path, encoded_images: list[bytes]) -> None:
    model = tf.saved_model.load(str(tiny_model))
    info = json.loads((tiny_model / "assets" / "model_info.json").read_text())
    assert (info["alphabet"], info["max_length"]) == ("0123456789", 5)
    assert info["fingerprint"] == saved_model.fingerprint(*weights(tiny_model))
    width, candidates = beam_width.sizes(None, None, info["beam_width"])
    sizes = {"beam_width": tf.constant(width), "candidates": tf.constant(candidates)}
    files = model.signatures["serving_default"](images=tf.constant(encoded_images[:1]), **sizes)
    pixels = tf.io.decode_image(encoded_images[0])[tf.newaxis]
    decoded = model.signatures["decoded"](images=pixels, **sizes)
    np.testing.assert_array_equal(files["text"], decoded["text"])
    for name in ("log_prob", "probability", "confidence"):  # two graphs, whose last bits differ on some CPUs
        np.testing.assert_allclose(files[name], decoded[name], rtol=1e-5)


def test_tflite_reads_the_same(predictor: Predictor, signatures: dict, encoded_images: list[bytes]) -> None:
    interpreter = Interpreter(model_content=serving.lite(predictor))
    run = interpreter.get_signature_runner()
    model, vocab = predictor.config.model, Vocab(predictor.config.model.alphabet)
    wanted = read(signatures, encoded_images)
    for i, file in enumerate(encoded_images):
        fitted = preprocess.decode_and_fit(tf.constant([file]), model)
        out = run(images=fitted.numpy())
        assert out["tokens"].shape == (1, 3, model.max_length + 1)
        np.testing.assert_allclose(out["log_prob"][0], wanted["log_prob"][i], atol=0.3)
        if wanted["log_prob"][i, 0] - wanted["log_prob"][i, 1] > 0.6:  # else rounding weights to 8 bits may decide
            assert vocab.decode(out["tokens"][0, 0]) == wanted["text"][i, 0].decode()
