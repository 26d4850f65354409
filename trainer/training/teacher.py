"""Distillation: a student recogniser learns the probabilities of a trained one (Hinton et al. 2015).

Both see the same distorted images, as in Beyer et al. 2022, *Knowledge distillation: a good teacher is patient and
consistent*.
"""

import tensorflow as tf

from trainer.cli import UserError
from trainer.config.model import Model
from trainer.inference import load
from trainer.workdir import files


class Teacher:
    """The recogniser of a work folder, with its weights as constants, so that any machine can run a step."""

    def __init__(self, workdir: str, student: Model) -> None:
        """Load the best checkpoint, or else the newest.

        Raises:
          UserError: there is none, or its alphabet or maximum length is not that of the student.
        """
        config, self.recogniser, params, state, _ = load.load_model(
            workdir, precision=files.read_config(workdir).precision
        )
        for name in ("alphabet", "max_length"):
            own, wanted = getattr(config.model, name), getattr(student, name)
            if own != wanted:
                raise UserError(
                    f"train.teacher={workdir} has model.{name}={own}, but this model has {wanted}: train the teacher "
                    "on the same datasets"
                )
        self.size = [config.model.image_height, config.model.image_width]
        self.params = {path: variable.numpy() for path, variable in params.items()}
        self.state = {path: variable.numpy() for path, variable in state.items()}

    def probabilities(self, images: tf.Tensor, fed: tf.Tensor) -> tf.Tensor:
        """Return the probabilities of each next token, float32 [B, T, V].

        Args:
          images: float32 [B, H, W, 3] in -1..1, of the student's size.
          fed: the tokens before each, int32 [B, T].
        """
        if images.shape[1:3].as_list() != self.size:
            images = tf.image.resize(images, self.size, antialias=True)
        return tf.nn.softmax(self.recogniser.follow(self.params, self.state, images, fed))
