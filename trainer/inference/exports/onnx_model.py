"""Read images with a model's ONNX file, which gives the same answers as its SavedModel, without TensorFlow."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from trainer.cli import UserError
from trainer.data.pipeline.rounding import HALF_WITHIN
from trainer.files import whole_file
from trainer.inference.exports import exported_model
from trainer.inference.exports.exported_model import INFO_PATH, ONNX_FILE, Answer
from trainer.inference.photos import region_options
from trainer.vocab import Vocab


@dataclass(frozen=True)
class OnnxModel:
    """A loaded ONNX model and its metadata; it has the methods of `ExportedModel` that do not need TensorFlow."""

    session: onnxruntime.InferenceSession
    info: dict[str, Any]
    engine: ClassVar[str] = region_options.ONNX

    def read(
        self,
        files: Sequence[bytes],
        *,
        beam_width: int,
        candidates: int,
        most: int = region_options.MOST_NUMBERS,
        whole: bool = False,
    ) -> list[Answer]:
        """Return the answer for each encoded image.

        Args:
          files, beam_width, candidates, most: as for `ExportedModel.read`.
          whole: not supported for a model that finds numbers.
        """
        if whole and "finder" in self.info:
            raise UserError("an ONNX model that finds numbers cannot read whole photos: use --engine tensorflow")
        sizes = {"beam_width": np.array(beam_width, np.int32), "candidates": np.array(candidates, np.int32)}
        photos = [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]
        if "finder" in self.info:
            rows = [self._run({"image": photo, **sizes}) for photo in photos]
        elif photos:
            fitted = np.stack([_fitted(photo, self.image_size) for photo in photos])
            out = self._run({"images": fitted, **sizes})
            rows = [dict(zip(out, row, strict=True)) for row in zip(*out.values(), strict=True)]
        else:
            rows = []
        return [exported_model.answer_of(self._with_texts(row), most) for row in rows]

    @property
    def image_size(self) -> tuple[int, int]:
        """The best height and width of input images, in pixels."""
        height, width = self.info["image_size"]
        return height, width

    def attention(self, file: bytes) -> None:
        """Return None: only the SavedModel can tell where it looked."""

    def _run(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        names = [output.name for output in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, inputs), strict=True))

    def _with_texts(self, row: dict[str, NDArray[Any]]) -> dict[str, Any]:
        """Return the outputs for an image as the SavedModel returns them, with texts instead of tokens."""
        decode = Vocab(self.info["alphabet"]).decode
        named = {name: value.tolist() for name, value in row.items() if "tokens" not in name}
        named["text"] = [decode(tokens).encode() for tokens in row["tokens"]]
        if "numbers/tokens" in row:
            candidates = [[decode(tokens).encode() for tokens in one] for one in row["numbers/tokens"]]
            named |= {"numbers/candidates": candidates, "numbers/text": [texts[0] for texts in candidates]}
        return named


def _fitted(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return an image, uint8 [h, w, 3], resized to the size of a model, as `preprocess.fit` does."""
    height, width = size
    planes = [Image.fromarray(image[..., channel].astype(np.float32)) for channel in range(3)]
    resized = [np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR)) for plane in planes]
    return np.floor(np.clip(np.stack(resized, axis=-1), 0, 255) + (0.5 + HALF_WITHIN)).astype(np.uint8)


def load(folder: str) -> OnnxModel:
    """Load the ONNX model of a local folder.

    Raises:
      UserError: it is missing, damaged, or was exported by an older version.
    """
    again = "export the model again with --onnx"
    exported_model.check_files(folder, lambda path: whole_file.read(f"{folder}/{path}", advice=again))
    info = exported_model.parse_info(whole_file.read(f"{folder}/{INFO_PATH}", advice=again) or b"", folder)
    content = whole_file.read(f"{folder}/{ONNX_FILE}", advice=again)
    if content is None:
        raise UserError(f"{folder} has no {ONNX_FILE}: {again}")
    options = onnxruntime.SessionOptions()
    # The export has already applied the useful optimisations; others take a second at loading. Waiting threads must not
    # spin, which would keep a CPU busy.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3  # errors: it warns that sizes with a default are not constant
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return OnnxModel(onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"]), info)
    except Exception as error:  # ONNX Runtime's errors have no other common class
        raise UserError(f"{folder}/{ONNX_FILE} cannot be loaded ({str(error).splitlines()[0]}): {again}") from error
