"""What was done to the inputs and labels of a data set, so that a trained model can be given new ones."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

import msgspec
import numpy as np

from rnnjax.typing import Floats

Keep = Literal["last", "first"]
KEEP_CHOICES = get_args(Keep)


class WordPreprocessing(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="words"):
    """Texts become word ids of a vocabulary, see ``vocabulary.encode``.

    Attributes:
        max_length: words kept of a longer text.
        keep: which of them.
    """

    max_length: Annotated[int, msgspec.Meta(ge=1)]
    keep: Keep


class SeriesPreprocessing(msgspec.Struct, frozen=True, eq=False, kw_only=True, tag_field="kind", tag="numbers"):
    """Each of the D features is standardised, and so are labels that are numbers.

    Attributes:
        mean: (D,) of the valid steps of the training split.
        deviation: (D,) their standard deviation, 0 for a feature that becomes 0.
        label_mean: of the training split; 0 if labels are classes.
        label_deviation: likewise; 1 if labels are classes.
    """

    mean: Floats
    deviation: Floats
    label_mean: float = 0.0
    label_deviation: float = 1.0

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.deviation):
            raise ValueError("mean and deviation are of unequal length")

    @classmethod
    def fit(cls, steps: np.ndarray, labels: np.ndarray | None) -> "SeriesPreprocessing":
        """The statistics of the valid ``steps`` (S, D) float64, and of ``labels`` (N,) if they are numbers."""
        deviation = np.where(np.ptp(steps, axis=0) > 0, steps.std(axis=0), 0.0)
        if labels is None:
            return cls(mean=steps.mean(axis=0), deviation=deviation)
        label_deviation = float(labels.std()) or 1.0
        return cls(
            mean=steps.mean(axis=0),
            deviation=deviation,
            label_mean=float(labels.mean()),
            label_deviation=label_deviation,
        )

    def pad(self, examples: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
        """N series, each (T, D), or (T,) where D is 1, scaled and padded to (N, T, D), and their lengths (N,).

        Raises:
            ValueError: a series of another shape, of no step, or with a number that is not finite.
        """
        features = len(self.mean)
        series = [np.asarray(example, np.float64) for example in examples]
        series = [one[:, None] if one.ndim == 1 else one for one in series]
        for i, one in enumerate(series):
            if one.ndim != 2 or one.shape[1] != features or not len(one):
                raise ValueError(
                    f"example {i} must be (T, {features}){' or (T,)' if features == 1 else ''} with at least one step, "
                    f"as the run was trained on {features} features a step, got the shape {np.shape(examples[i])}"
                )
            if not np.isfinite(one).all():
                raise ValueError(f"example {i} holds NaN or infinity")
        lengths = np.array([len(one) for one in series], np.int32)
        inputs = np.zeros((len(series), lengths.max(), features), np.float32)
        for row, one in zip(inputs, series, strict=True):
            row[: len(one)] = self.scale_steps(one)
        return inputs, lengths

    def scale_steps(self, values: np.ndarray) -> np.ndarray:
        """``values`` (..., D), standardised."""
        return (values - self.mean) / np.where(self.deviation > 0, self.deviation, np.inf)

    def scale_labels(self, labels: np.ndarray) -> np.ndarray:
        """``labels`` (N,), standardised, float32."""
        return ((labels - self.label_mean) / self.label_deviation).astype(np.float32)

    def unscale_labels(self, labels: np.ndarray) -> np.ndarray:
        """Standardised ``labels`` in their own unit, float64."""
        return labels.astype(np.float64) * self.label_deviation + self.label_mean


Preprocessing = WordPreprocessing | SeriesPreprocessing
