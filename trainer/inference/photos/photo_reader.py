"""Find the numbers in photos, then read them: a finder and a recogniser in one graph."""

from collections.abc import Callable
from typing import Any, Protocol

import tensorflow as tf

from trainer.data.pipeline import preprocess
from trainer.inference.photos import cut_choice, regions
from trainer.inference.photos.cut_choice import LENGTH, SAME
from trainer.inference.photos.region_calibration import RegionCalibration

OF_TEXTS, CHARACTERS = ("text", "log_prob", "probability"), "characters"  # of what a recogniser returns
MOST_REGIONS = 60  # per photo, besides the whole photo
Reader = Callable[..., dict[str, tf.Tensor]]


class Finder(Protocol):
    """The interface of what finds the regions, e.g. a `NumberFinder`."""

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the images to give to `find`."""

    def find(self, images: tf.Tensor, most: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the corners, float32 [B, most, 8], and the scores, float32 [B, most], of what is found in images."""

    def find_in_one(self, image: tf.Tensor, most: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the same for one image, [most, 8] and [most], without a loop."""


class PhotoReader(tf.Module):
    """Reads photos: the whole photo is one of the regions that are read, and each number that was found is another.

    Args:
      finder: finds the regions.
      reader: what `of_strings` or `of_tokens` makes of an exported recogniser. It maps images, float32 [N, H, W, 3],
        `beam_width` and `candidates`, int32 [], to `text`, string [N, C] or int32 [N, C, T]; `log_prob`, `probability`
        float32 [N, C]; `confidence` float32 [N]; `length` int32 [N] of the best text; `same` int32 [N], equal for
        images with the same best text; and, except for older exports, `characters` float32 [N, T].
      reader_size: height and width of its input.
      calibrated: combines what finder and reader say about a region into a confidence.
      most: the most regions per photo besides the whole photo.
    """

    def __init__(
        self,
        finder: Finder,
        reader: Reader,
        reader_size: tuple[int, int],
        calibrated: RegionCalibration,
        *,
        most: int,
    ) -> None:
        super().__init__()
        self.calibrated = calibrated
        self.finder, self.reader, self.reader_size, self.most = finder, reader, reader_size, most
        self.size = finder.input_size

    def read(self, files: tf.Tensor, beam_width: tf.Tensor, candidates: tf.Tensor) -> dict[str, tf.Tensor]:
        """Read photos; for use inside a graph.

        Args:
          files, beam_width, candidates: as in `regions`.
        Returns:
          Of the most probable region: `text` string [B, C]; `log_prob`, `probability` float32 [B, C]; `confidence`
          float32 [B]. Of all regions, most confident first: `numbers/text` string [B, R], `numbers/confidence` float32
          [B, R], the probability that a number with this text is there, and `numbers/corners` float32 [B, R, 8]; the
          whole photo only counts if it comes first. At most R - 1 regions are found; the confidence of the others is 0.
          Of the same regions, `numbers/candidates` string [B, R, C], and `numbers/characters` float32 [B, R, T], the
          probability of each character, if the recogniser returns it.
        """
        return self._ranked(self.regions(files, beam_width, candidates))

    def read_pixels(self, photo: tf.Tensor, beam_width: tf.Tensor, candidates: tf.Tensor) -> dict[str, tf.Tensor]:
        """Read one decoded photo, uint8 [H, W, 3]: as `read`, with B = 1; for use inside a graph."""
        height, width = self.size
        size, padded = tf.shape(photo)[:2], preprocess.letterbox(photo, height, width)
        corners, scores = self.finder.find_in_one(preprocess.normalise(padded), self.most)
        corners /= self._scales(size)
        cuts = self._cuts_of(photo, tf.boolean_mask(corners, scores > 0))
        of_all = corners[tf.newaxis], scores[tf.newaxis], size[tf.newaxis]
        return self._ranked(self._read(cuts, *of_all, beam_width, candidates))

    def _ranked(self, found: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Rank the regions as `regions` returns them, and return what `read` returns."""
        confidence = self.calibrated.confidence(found["score"], found["confidence"], found[LENGTH])
        boxes_best = tf.reduce_max(confidence[:, 1:], axis=1)
        whole = tf.where(confidence[:, 0] > boxes_best, confidence[:, 0], 0.0)
        confidence = tf.concat([whole[:, tf.newaxis], confidence[:, 1:]], axis=1)
        ranked = tf.argsort(confidence, axis=1, direction="DESCENDING", stable=True)
        first = ranked[:, 0]
        best = {name: tf.gather(found[name], first, batch_dims=1) for name in (*OF_TEXTS, CHARACTERS) if name in found}
        candidates_of = tf.gather(found["text"], ranked, batch_dims=1)
        numbers = {
            "numbers/text": candidates_of[..., 0],
            "numbers/confidence": tf.gather(confidence, ranked, batch_dims=1),
            "numbers/corners": tf.gather(found["corners"], ranked, batch_dims=1),
            "numbers/candidates": candidates_of,
        }
        if CHARACTERS in found:
            numbers[f"numbers/{CHARACTERS}"] = tf.gather(found[CHARACTERS], ranked, batch_dims=1)
        return {**best, "confidence": tf.gather(confidence, first, batch_dims=1), **numbers}

    def regions(self, files: tf.Tensor, beam_width: tf.Tensor, candidates: tf.Tensor) -> dict[str, tf.Tensor]:
        """Read all regions of photos, the whole photo first; for use inside a graph.

        Args:
          files: string [B], PNG, JPEG, BMP or GIF.
          beam_width, candidates: int32 [], as for the reader.
        Returns:
          `corners` float32 [B, R, 8] in pixels of each photo; `score` float32 [B, R], of the finder, 1 for the whole
          photo, 0 where there are fewer than R regions; `text` string [B, R, C]; `log_prob`, `probability` float32
          [B, R, C]; `confidence` float32 [B, R], of the reader; `length` int32 [B, R], of the best text; `characters`
          float32 [B, R, T] if the reader returns them.
        """
        photos, padded, sizes = self._decoded(files)
        corners, scores = self.finder.find(preprocess.normalise(padded), self.most)
        corners /= self._scales(sizes)[:, tf.newaxis, tf.newaxis]
        return self._read(self._cuts(photos, corners, scores), corners, scores, sizes, beam_width, candidates)

    def _scales(self, sizes: tf.Tensor) -> tf.Tensor:
        """Return the factors by which letterboxing shrinks photos of these heights and widths, int32 [..., 2]."""
        return tf.reduce_min(tf.constant(self.size, tf.float32) / tf.cast(sizes, tf.float32), axis=-1)

    def _read(
        self, cut: tuple[tf.Tensor, ...], corners: tf.Tensor, scores: tf.Tensor, sizes: tf.Tensor, *widths: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Read the cuts, and return what `regions` returns.

        Args:
          cut: as `_cuts` returns it.
          corners, scores: of the regions, in pixels of the photos, as the finder returns them.
          sizes: the height and width of each photo, int32 [B, 2].
          widths: `beam_width` and `candidates`.
        """
        cuts, regions_of, stacked = cut
        batch, count = tf.shape(scores)[0], self.most + 1
        whole_scores = tf.concat([tf.ones([batch, 1]), scores], axis=1)
        used = tf.where(tf.reshape(whole_scores > 0, [-1]))
        out = self.reader(cuts, *widths)
        out["confidence"] = cut_choice.confidences(out, regions_of, stacked, tf.size(used))
        del out[SAME]
        chosen = cut_choice.most_confident(out["confidence"], regions_of, tf.size(used))
        out = {name: tf.gather(value, chosen) for name, value in out.items()}
        read: dict[str, Any] = {}
        for name, value in out.items():
            shape = tf.concat([[batch * count], tf.shape(value)[1:]], axis=0)
            blank = tf.fill(shape, tf.constant("" if value.dtype == tf.string else 0, value.dtype))
            spread = tf.tensor_scatter_nd_update(blank, used, value)
            read[name] = tf.reshape(spread, tf.concat([[batch, count], tf.shape(value)[1:]], axis=0))
        height, width = tf.unstack(tf.cast(sizes, tf.float32), axis=1)
        zero = tf.zeros_like(width)
        whole = tf.stack([zero, zero, width, zero, width, height, zero, height], axis=1)
        return {"corners": tf.concat([whole[:, tf.newaxis], corners], axis=1), "score": whole_scores, **read}

    def _decoded(self, files: tf.Tensor) -> tuple[tf.TensorArray, tf.Tensor, tf.Tensor]:
        """Return the decoded photos, the letterboxed ones, uint8 [B, H, W, 3], and the original sizes, int32 [B, 2]."""
        count, (height, width) = tf.size(files), self.size
        photos = tf.TensorArray(tf.uint8, count, infer_shape=False, element_shape=[None, None, 3])
        padded = tf.TensorArray(tf.uint8, count, element_shape=[height, width, 3])
        sizes = tf.TensorArray(tf.int32, count, element_shape=[2])

        def add(i: tf.Tensor, *arrays: tf.TensorArray) -> tuple[Any, ...]:
            photo = preprocess.decode(files[i])
            values = photo, preprocess.letterbox(photo, height, width), tf.shape(photo)[:2]
            return i + 1, *(array.write(i, value) for array, value in zip(arrays, values, strict=True))

        _, photos, padded, sizes = tf.while_loop(lambda i, *_: i < count, add, (0, photos, padded, sizes))
        return photos, padded.stack(), sizes.stack()

    def _cuts(self, photos: tf.TensorArray, corners: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Cut out the regions with a score above 0; for each photo, the whole photo comes first.

        Returns:
          The cuts, float32 [N, H, W, 3], 0 to 255; the region of each, counted over all photos, int32 [N]; and the
          number of stacked characters that the cut shows side by side, int32 [N], 0 for a plain cut.
        """
        height, width = self.reader_size
        batch, shape = tf.shape(scores)[0], [None, height, width, 3]
        cuts = tf.TensorArray(tf.float32, batch, infer_shape=False, element_shape=shape)
        regions_of, stacked = (tf.TensorArray(tf.int32, batch, infer_shape=False, element_shape=[None]) for _ in "12")

        def add(i: tf.Tensor, before: tf.Tensor, *arrays: tf.TensorArray) -> tuple[Any, ...]:
            found = tf.boolean_mask(corners[i], scores[i] > 0)
            images, owners, counts = self._cuts_of(photos.read(i), found)
            values = images, before + owners, counts
            written = (array.write(i, value) for array, value in zip(arrays, values, strict=True))
            return i + 1, before + 1 + tf.shape(found)[0], *written

        start = 0, 0, cuts, regions_of, stacked
        _, _, cuts, regions_of, stacked = tf.while_loop(lambda i, *_: i < batch, add, start)
        return tf.ensure_shape(cuts.concat(), shape), regions_of.concat(), stacked.concat()

    def _cuts_of(self, photo: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Cut the regions `found`, float32 [K, 8], out of one photo, as `_cuts` does; regions count from 0."""
        height, width = self.reader_size
        corners, owners, stacked = regions.cuts_of(found)
        cuts = regions.cut(photo, corners, tf.maximum(stacked, 1), height, width)
        whole = tf.cast(preprocess.fit(photo, height, width), tf.float32)[tf.newaxis]
        first = tf.zeros([1], tf.int32)
        return (
            tf.concat([whole, cuts], axis=0),
            tf.concat([first, 1 + owners], axis=0),
            tf.concat([first, stacked], axis=0),
        )


def of_strings(exported: Reader) -> Reader:
    """Return a reader whose texts are strings, given `ExportedModel.fitted`."""

    def read(images: tf.Tensor, beam_width: tf.Tensor, candidates: tf.Tensor) -> dict[str, tf.Tensor]:
        out = exported(images=images, beam_width=beam_width, candidates=candidates)
        best = out["text"][:, 0]
        found = {name: out[name] for name in (*OF_TEXTS, "confidence", CHARACTERS) if name in out}
        return found | {
            LENGTH: tf.strings.length(best, unit="UTF8_CHAR"),
            SAME: tf.unique(best).idx,
        }

    return read


def of_tokens(exported: Reader, end: int) -> Reader:
    """Return a reader whose texts are tokens, int32 [N, C, T], padded with tokens of at least `end`; see `of_strings`.

    The recogniser must have been exported with the signature `fitted`, which returns them.
    """

    def read(images: tf.Tensor, beam_width: tf.Tensor, candidates: tf.Tensor) -> dict[str, tf.Tensor]:
        out = exported(images=images, beam_width=beam_width, candidates=candidates)
        tokens = out["tokens"]
        places = (end + 1) ** tf.range(tokens.shape[-1], dtype=tf.int64)
        found = {name: out[name] for name in (*OF_TEXTS, "confidence", CHARACTERS)} | {"text": tokens}
        return found | {
            LENGTH: tf.reduce_sum(tf.cast(tokens[:, 0] < end, tf.int32), axis=-1),
            SAME: tf.unique(tf.reduce_sum(tf.cast(tf.minimum(tokens[:, 0], end), tf.int64) * places, axis=-1)).idx,
        }

    return read
