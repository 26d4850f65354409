"""AdamW whose updates are single locked operations, since Keras's lose updates under parameter servers."""

from typing import Any

import tensorflow as tf

from trainer.config import Optimizer


class AdamW:
    """Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov & Hutter 2019) and moving-average weights.

    Attributes:
      slots: both moments of each parameter, by `slot/path`.
      averages: the moving average of each parameter, by path; empty where it is turned off.
    """

    def __init__(self, config: Optimizer, params: dict[str, tf.Variable], *, total_steps: int) -> None:
        self.config = config
        self.total_steps = total_steps
        self.slots = {
            f"{slot}/{path}": tf.Variable(tf.zeros_like(p), trainable=False, name=f"{slot}/{path}")
            for slot in ("moment1", "moment2")
            for path, p in params.items()
        }
        self.averages = (
            {path: tf.Variable(p, trainable=False, name=f"average/{path}") for path, p in params.items()}
            if config.ema_decay
            else {}
        )

    def learning_rate(self, step: tf.Tensor) -> tf.Tensor:
        """Linear warm-up, then half a cosine down to zero at `total_steps`."""
        step, warmup = tf.cast(step, tf.float32), float(self.config.warmup_steps)
        rise = tf.minimum((step + 1.0) / max(warmup, 1.0), 1.0)
        share = tf.clip_by_value((step - warmup) / max(self.total_steps - warmup, 1.0), 0.0, 1.0)
        return self.config.learning_rate * rise * 0.5 * (1.0 + tf.cos(share * 3.14159265))

    def apply(self, gradients: dict[str, tf.Tensor], params: dict[str, tf.Variable], step: tf.Tensor) -> dict[str, Any]:
        """Clips the gradients by their joint norm and updates parameters, moments and averages in place.

        Returns:
          `learning_rate` and `gradient_norm`, float32 [].
        """
        config, paths = self.config, list(params)
        clipped, norm = tf.clip_by_global_norm([gradients[path] for path in paths], config.clip_norm)
        rate = self.learning_rate(step)
        number = tf.cast(step, tf.float32)
        # The average starts close to the weights: an early one would remember the initial values for long.
        decay = tf.minimum(config.ema_decay, (1.0 + number) / (10.0 + number))
        for path, gradient in zip(paths, clipped, strict=True):
            param = params[path]
            with tf.device(param.device):  # on a parameter server only the gradient moves
                if config.weight_decay and param.shape.rank > 1:  # not scales and biases
                    param.assign_sub(rate * config.weight_decay * param)
                tf.raw_ops.ResourceApplyAdam(
                    var=param.handle,
                    m=self.slots[f"moment1/{path}"].handle,
                    v=self.slots[f"moment2/{path}"].handle,
                    beta1_power=config.beta1 ** (number + 1.0),
                    beta2_power=config.beta2 ** (number + 1.0),
                    lr=rate,
                    beta1=config.beta1,
                    beta2=config.beta2,
                    epsilon=config.epsilon,
                    grad=gradient,
                    use_locking=True,
                )
                if self.averages:
                    average = self.averages[path]
                    average.assign_sub((1.0 - decay) * (average - param))
        return {"learning_rate": rate, "gradient_norm": norm}
