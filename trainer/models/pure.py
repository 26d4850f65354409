"""Keras layers evaluated as pure functions of their variables.

Keras creates the layers; the values are in dictionaries by variable path that the caller owns, since Keras's own
assignments and optimizers lose updates with parameter servers.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
from keras import ops

SEEDS_A_STEP = 64  # more than any layer draws in one step, so that no two steps share a seed
Values = dict[str, Any]


class PureNetwork:
    """A layer whose methods take the values of its variables.

    Attributes:
      params: initial values of the trained variables, by path.
      state: initial values of the other variables (batch norm statistics), by path.
    """

    def __init__(self, create: Callable[[], keras.Layer], *inputs: Any, seed: int, precision: str) -> None:
        """Create the layer and build it by calling it on `inputs`."""
        keras.utils.set_random_seed(seed)
        with _dtype_policy(precision):
            self.layer = create()
            self.layer(*inputs)
        self._params = {v.path: v for v in self.layer.trainable_variables}
        others = self.layer.non_trainable_variables
        self._seeds = [v for v in others if v.path.endswith("seed_generator_state")]
        self._state = {v.path: v for v in others if not v.path.endswith("seed_generator_state")}

    @property
    def params(self) -> Values:
        return {path: ops.convert_to_numpy(v) for path, v in self._params.items()}

    @property
    def state(self) -> Values:
        return {path: ops.convert_to_numpy(v) for path, v in self._state.items()}

    def run_training(
        self, params: Mapping[str, Any], state: Mapping[str, Any], *inputs: Any, step: Any
    ) -> tuple[Any, Values]:
        """Call the layer in training mode; randomness depends only on the layer and `step`.

        Returns:
          What the layer returns, and the next state.
        """
        mapping = self._mapping(params, state)
        for number, variable in enumerate(self._seeds):  # Keras's names for them depend on what else was built
            seed = ops.stack([ops.convert_to_tensor(number, "int64"), ops.cast(step, "int64") * SEEDS_A_STEP])
            mapping.append((variable, ops.cast(seed, variable.dtype)))
        with keras.StatelessScope(state_mapping=mapping) as scope:
            out = self.layer(*inputs, training=True)
        moved = {path: scope.get_current_value(v) for path, v in self._state.items()}
        return out, {path: state[path] if value is None else value for path, value in moved.items()}

    def holding(self, params: Mapping[str, Any], state: Mapping[str, Any]) -> keras.StatelessScope:
        """Return a scope in which the layer's variables have these values."""
        return keras.StatelessScope(state_mapping=self._mapping(params, state))

    def _mapping(self, params: Mapping[str, Any], state: Mapping[str, Any]) -> list[tuple[Any, Any]]:
        return [(self._params[path], value) for path, value in params.items()] + [
            (self._state[path], value) for path, value in state.items()
        ]


@contextlib.contextmanager
def _dtype_policy(precision: str) -> Iterator[None]:
    """Make layers created inside compute in this precision; variables, and logits by their own policy, are float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
