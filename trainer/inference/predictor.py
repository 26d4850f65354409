"""Read numbers without teacher forcing: the one graph shared by validation, evaluation and the exported model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from trainer import graph, progress
from trainer.config.schema import Config
from trainer.data.pipeline import input_pipeline
from trainer.inference.decoding import beam_search, beam_width, test_time_augmentation
from trainer.inference.measuring import calibration, metrics
from trainer.inference.measuring.measured import Measured, Shown
from trainer.models.recogniser import PureRecogniser
from trainer.vocab import Vocab


class Predictor:
    """Reads images by beam search with given variables; `calibrated` turns probabilities into confidence."""

    def __init__(
        self,
        recogniser: PureRecogniser,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        config: Config,
        calibrated: calibration.Calibration | None = None,
    ) -> None:
        self.recogniser, self.params, self.state, self.config = recogniser, params, state, config
        self.calibrated = calibrated or calibration.Calibration()
        self.vocab = Vocab(config.model.alphabet)
        size = (config.model.image_height, config.model.image_width, 3)
        self._read_batch = graph.compiled(self.read, input_signature=[tf.TensorSpec((None, *size))])
        self._traced_search = graph.compiled(self._search)  # once for all signatures of an export

    def read(
        self, images: tf.Tensor, width: int | tf.Tensor | None = None, candidates: int | tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Return the candidates, best first, for images, float32 [B, H, W, 3] in -1..1; for use inside a graph.

        Args:
          images: the images.
          width: of the beam; by default as in `search`.
          candidates: how many to return, K, at most `width`; by default `width` if given, else as configured.
        Returns:
          `text` string [B, K], and `tokens` int32 [B, K, T], the same as indices into the alphabet, then end tokens;
          `log_prob` and `probability` float32 [B, K]; `confidence` float32 [B], the probability that the first
          candidate is the correct number; `characters` float32 [B, T], the probability of each of its characters given
          those before it, then of its end, then 1.
        """
        if candidates is None:
            candidates = self.config.decode.beam_width if width is None else width
        found = self.search(images, width).first(candidates)
        return {
            "text": self.vocab.decode_tensor(found.tokens),
            "tokens": found.tokens,
            "log_prob": found.log_probs,
            "probability": tf.exp(found.log_probs),
            "confidence": self.confidence(found.log_probs[:, 0]),
            "characters": tf.exp(found.token_log_probs[:, 0]),
        }

    def search(self, images: tf.Tensor, width: int | tf.Tensor | None = None) -> beam_search.Hypotheses:
        """Return all hypotheses of a beam of that width, by default wide enough for the configured candidates."""
        default = beam_width.width_for(self.config.decode.beam_width)
        return self._traced_search(images, default if width is None else width)

    def _search(self, images: tf.Tensor, width: int | tf.Tensor) -> beam_search.Hypotheses:
        decode = self.config.decode
        seen = test_time_augmentation.of(images, decode.views, decode.tilts)
        count = len(decode.views) + len(decode.tilts)
        if decode.closer:
            closer = test_time_augmentation.closer(images, self._attention(images))
            seen, count = tf.concat([seen, closer], axis=0), count + 1
        params, (memory, first) = self._encode(seen)

        @graph.compiled  # traced twice, with one hypothesis and with several, not once for each character
        def step(tokens: tf.Tensor, carried: Any) -> tuple[tf.Tensor, Any]:
            tokens = tf.tile(tokens, [count, 1])
            logits, following, _ = self.recogniser.step(params, tokens, test_time_augmentation.apart(carried), memory)
            return test_time_augmentation.agreed(logits, count), test_time_augmentation.together(following, count)

        return beam_search.beam_search(
            test_time_augmentation.together(first, count),
            step,
            start=self.vocab.start,
            end=self.vocab.end,
            width=width,
            max_length=self.config.model.max_length,
            empty=decode.empty,
        )

    def attend(self, images: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor | None:
        """Return where the model looks for each of the tokens, int32 [B, T], that `search` found.

        Returns:
          float32 [B, T, P], the weights of the P positions of the feature map; None if the model has no attention.
        """
        params, (memory, state) = self._encode(images)
        fed = tf.pad(tokens[:, :-1], [[0, 0], [1, 0]], constant_values=self.vocab.start)
        step, looks = self._traced_step(params, memory), []
        for t in range(tokens.shape[1]):
            _, state, attention = step(fed[:, t : t + 1], state)
            looks.append(attention)
        return None if looks[0] is None else tf.cast(tf.concat(looks, axis=1), tf.float32)

    def attention_to(self, images: tf.Tensor, texts: Sequence[str]) -> list[np.ndarray] | None:
        """Return where the model looks for each character of a text, float32 [length, rows, columns] for each image.

        Args:
          images: float32 [B, H, W, 3] in -1..1.
          texts: the text that was read in each of them.
        Returns:
          None if the model has no attention.
        """
        longest = max(map(len, texts))
        tokens = np.full((len(texts), longest), self.vocab.end, np.int32)
        for row, text in zip(tokens, texts, strict=True):
            row[: len(text)] = self.vocab.encode(text)
        looks = self.attend(images, tf.constant(tokens))
        if looks is None:
            return None
        maps = looks.numpy().reshape(len(texts), longest, *self.config.model.map_size)
        return [one[: len(text)] for one, text in zip(maps, texts, strict=True)]

    def _attention(self, images: tf.Tensor) -> tf.Tensor:
        """Return the mean attention of a greedy decode before the end token, float32 [B, rows, columns], sum 1."""
        params, (memory, carried) = self._encode(images)
        tokens = tf.fill([tf.shape(images)[0], 1], self.vocab.start)
        reading, attended = tf.ones([tf.shape(images)[0], 1]), tf.constant(1e-6)
        step = self._traced_step(params, memory)
        for _ in range(self.config.model.max_length):
            logits, carried, attention = step(tokens, carried)
            tokens = tf.argmax(logits, axis=-1, output_type=tf.int32)
            reading *= tf.cast(tokens != self.vocab.end, tf.float32)
            attended += reading * tf.cast(attention[:, 0], tf.float32)  # bfloat16 while training in it
        attended /= tf.reduce_sum(attended, axis=1, keepdims=True)
        return tf.reshape(attended, [-1, *self.config.model.map_size])

    def _traced_step(self, params: dict[str, tf.Tensor], memory: Any) -> Any:
        """Return the decoder's step for encoded images, from tokens and state, traced once instead of at each call."""
        return graph.compiled(lambda tokens, carried: self.recogniser.step(params, tokens, carried, memory))

    def _encode(self, images: tf.Tensor) -> tuple[dict[str, tf.Tensor], tuple[Any, Any]]:
        params = {path: tf.cast(v, tf.float32) for path, v in self.params.items()}
        state = {path: tf.convert_to_tensor(v) for path, v in self.state.items()}
        return params, self.recogniser.encode(params, state, images)

    def confidence(self, log_prob: tf.Tensor) -> tf.Tensor:
        """Return `Calibration.confidence`, in the graph, for log probabilities of best candidates, float32 [B]."""
        log_prob = tf.clip_by_value(log_prob, *calibration.LOG_PROB_RANGE)
        log_odds = log_prob - tf.math.log(-tf.math.expm1(log_prob))
        return tf.sigmoid(log_odds / self.calibrated.temperature + self.calibrated.offset)

    def answers(self, labelled: input_pipeline.LabelledImages, *, what: str = "evaluating") -> list[metrics.Answer]:
        """Read all images, including the last, smaller batch; `what` names the work in the progress display."""
        found: list[metrics.Answer] = []
        batches = input_pipeline.reading_batches(labelled, self.config.data.eval_batch_size)
        for images in progress.batches(what, batches, len(labelled)):
            out = self._read_batch(images)
            for texts, probabilities in zip(out["text"].numpy(), out["probability"].numpy(), strict=True):
                i = len(found)
                found.append(
                    metrics.Answer(
                        key=labelled.keys[i],
                        source=labelled.sources[i],
                        label=labelled.texts[i],
                        candidates=tuple(text.decode() for text in texts),
                        probabilities=tuple(float(p) for p in probabilities),
                    )
                )
        return found

    def shown(self, labelled: input_pipeline.LabelledImages) -> list[Shown]:
        """Return the label and the answer of each image."""
        return [_shown(answer) for answer in self.answers(labelled)]

    def validate(self, labelled: input_pipeline.LabelledImages) -> Measured:
        """Measure how many labelled images are read correctly."""
        summary = metrics.summarise(self.answers(labelled, what="validating"))
        text = (
            f"{summary['sequence_accuracy']:.2%} of {summary['examples']} numbers correct, "
            f"{summary['digit_accuracy']:.2%} of digits"
        )
        return Measured(float(summary["sequence_accuracy"]), text.replace("%", " %"), metrics.scalars(summary))


def _shown(answer: metrics.Answer) -> Shown:
    label, text = answer.label or "no number", answer.candidates[0] or "no number"
    right = label == text
    return Shown(f"{label}{'' if right else f' read as {text}'}, {answer.probabilities[0]:.0%}", right)
