"""Free-running reading, the one graph that validation, evaluation and the exported model share."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from trainer import calibration, decode, input_pipeline, metrics
from trainer.config import Config
from trainer.model import PureRecogniser
from trainer.vocab import Vocab


class Reader:
    """Reads pictures with given variables, by beam search; `calibrated` is how probabilities become confidence."""

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
        self._read_batch = tf.function(self.read, reduce_retracing=True)

    def read(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Candidates, best first, of pictures, float32 [B, H, W, 3] in -1..1; for use inside a graph.

        Returns:
          `text` string [B, K]; `log_prob` and `probability` float32 [B, K]; `confidence` float32 [B], that the
          first is the whole right number.
        """
        params = {path: tf.convert_to_tensor(v) for path, v in self.params.items()}
        state = {path: tf.convert_to_tensor(v) for path, v in self.state.items()}
        memory, first = self.recogniser.encode(params, state, images)

        def step(tokens: tf.Tensor, carried: Any) -> tuple[tf.Tensor, Any]:
            logits, following, _ = self.recogniser.step(params, tokens, carried, memory)
            return logits, following

        found = decode.beam_search(
            first,
            step,
            start=self.vocab.start,
            end=self.vocab.end,
            width=self.config.decode.beam_width,
            max_length=self.config.model.max_length,
        )
        return {
            "text": self.vocab.decode_tensor(found.tokens),
            "log_prob": found.log_probs,
            "probability": tf.exp(found.log_probs),
            "confidence": self._confidence(found.log_probs[:, 0]),
        }

    def _confidence(self, log_prob: tf.Tensor) -> tf.Tensor:
        """`Calibration.confidence` in the graph."""
        log_prob = tf.clip_by_value(log_prob, *calibration.LOG_PROB_RANGE)
        log_odds = log_prob - tf.math.log(-tf.math.expm1(log_prob))
        return tf.sigmoid(log_odds / self.calibrated.temperature + self.calibrated.offset)

    def answers(self, pictures: input_pipeline.Pictures) -> list[metrics.Answer]:
        """Reads all pictures, the last short batch included."""
        found: list[metrics.Answer] = []
        for images in input_pipeline.reading_batches(pictures, self.config.data.eval_batch_size):
            out = self._read_batch(images)
            for texts, probabilities in zip(out["text"].numpy(), out["probability"].numpy(), strict=True):
                i = len(found)
                found.append(
                    metrics.Answer(
                        key=pictures.keys[i],
                        source=pictures.sources[i],
                        label=pictures.texts[i],
                        candidates=tuple(text.decode() for text in texts),
                        probabilities=tuple(float(p) for p in probabilities),
                    )
                )
        return found
