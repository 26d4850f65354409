"""Optimizers whose updates are single locked operations, since Keras's lose updates with parameter servers."""

import math
from typing import Any

import tensorflow as tf

from trainer.config.schema import Optimizer

SLOTS = {"adamw": ("moment1", "moment2"), "momentum": ("momentum",), "sgd": ()}


class FusedOptimizer:
    """AdamW (Kingma & Ba 2015, Loshchilov & Hutter 2019), momentum or plain SGD, with moving-average weights.

    Attributes:
      slots: the moments of each parameter, by `moment/path`.
      averages: the moving average of each parameter, by path; empty if disabled.
    """

    def __init__(self, config: Optimizer, params: dict[str, tf.Variable], *, total_steps: int) -> None:
        self.config = config
        self.total_steps = total_steps
        self.slots = {
            f"{slot}/{path}": tf.Variable(tf.zeros_like(p), trainable=False, name=f"{slot}/{path}")
            for slot in SLOTS[config.name]
            for path, p in params.items()
        }
        self.averages = (
            {path: tf.Variable(p, trainable=False, name=f"average/{path}") for path, p in params.items()}
            if config.ema_decay
            else {}
        )

    def learning_rate(self, step: tf.Tensor) -> tf.Tensor:
        """Return the learning rate, float32 []: linear warm-up times the schedule.

        `cosine` is half a cosine from the end of the warm-up down to zero at `total_steps`; `staircase` multiplies by
        `decay_rate` every `decay_steps`; `constant` does not change.
        """
        config, step = self.config, tf.cast(step, tf.float32)
        warmup = float(config.warmup_steps)
        rate = config.learning_rate * tf.minimum((step + 1.0) / max(warmup, 1.0), 1.0)
        if config.schedule == "cosine":
            share = tf.clip_by_value((step - warmup) / max(self.total_steps - warmup, 1.0), 0.0, 1.0)
            return rate * 0.5 * (1.0 + tf.cos(share * math.pi))
        if config.schedule == "staircase":
            return rate * tf.pow(config.decay_rate, step // config.decay_steps)
        return rate

    def apply(self, gradients: dict[str, tf.Tensor], params: dict[str, tf.Variable], step: tf.Tensor) -> dict[str, Any]:
        """Clip the gradients by their global norm, and update parameters, moments and averages in place.

        Returns:
          `learning_rate` and `gradient_norm`, float32 [].
        """
        config, paths = self.config, list(params)
        norm = tf.linalg.global_norm([gradients[path] for path in paths])
        scale = tf.minimum(config.clip_norm / norm, 1.0) if config.clip_norm else 1.0
        rate, number = self.learning_rate(step), tf.cast(step, tf.float32)
        # A lower decay at first: otherwise the average would retain the initial values for a long time.
        decay = tf.minimum(config.ema_decay, (1.0 + number) / (10.0 + number))
        for path in paths:
            param = params[path]
            with tf.device(param.device):  # with parameter servers only the gradient is sent
                if config.weight_decay and param.shape.rank > 1:  # not scales and biases
                    param.assign_sub(rate * config.weight_decay * param)
                self._update(path, param, gradients[path] * scale, rate=rate, number=number)
                if self.averages:
                    average = self.averages[path]
                    average.assign_sub((1.0 - decay) * (average - param))
        return {"learning_rate": rate, "gradient_norm": norm}

    def _update(
        self, path: str, param: tf.Variable, gradient: tf.Tensor, *, rate: tf.Tensor, number: tf.Tensor
    ) -> None:
        config = self.config
        if config.name == "adamw":
            tf.raw_ops.ResourceApplyAdam(
                var=param.handle,
                m=self.slots[f"moment1/{path}"].handle,
                v=self.slots[f"moment2/{path}"].handle,
                # Computed from the step, since variables for them would need updates that are never lost.
                beta1_power=tf.pow(config.beta1, number + 1.0),
                beta2_power=tf.pow(config.beta2, number + 1.0),
                lr=rate,
                beta1=config.beta1,
                beta2=config.beta2,
                epsilon=config.epsilon,
                grad=gradient,
                use_locking=True,
            )
        elif config.name == "momentum":
            tf.raw_ops.ResourceApplyMomentum(
                var=param.handle,
                accum=self.slots[f"momentum/{path}"].handle,
                lr=rate,
                grad=gradient,
                momentum=config.momentum,
                use_locking=True,
            )
        else:
            tf.raw_ops.ResourceApplyGradientDescent(var=param.handle, alpha=rate, delta=gradient, use_locking=True)
