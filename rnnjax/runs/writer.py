"""What a member writes while it trains: records of metrics and gradients, and TensorBoard events on request."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnjax.diagnostics import half_life, reach
from rnnjax.runs.gradient_log import gradient_records
from rnnjax.runs.json_io import RecordWriter

RECORDS = ("metrics.jsonl", "gradients.jsonl")
DECADES = np.arange(-12, 7, 0.5)  # log10 of norms; what is weaker or stronger counts at the ends


class MemberWriter:
    """Appends to ``metrics.jsonl`` and ``gradients.jsonl`` in ``folder`` from ``step`` on.

    With ``tensorboard``, the same numbers go to event files under ``folder/tensorboard``, the gradients as half-life
    and reach of the median norm, as its value at lag 0, and as a histogram over all lags of its log10.
    """

    def __init__(self, folder: Path, *, tensorboard: bool, step: int = 0) -> None:
        self._metrics, self._gradients = (RecordWriter(folder / name) for name in RECORDS)
        self._events: Any = None
        if tensorboard:
            from tensorboardX import SummaryWriter

            self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    def train(self, step: int, epoch: int, loss: float, accuracy: float, gradient_norm: float) -> None:
        """One training step."""
        self._scalars("train", step, epoch, loss=loss, accuracy=accuracy, gradient_norm=gradient_norm)

    def validation(self, step: int, epoch: int, loss: float, accuracy: float) -> None:
        """One validation, after ``step`` steps."""
        self._scalars("validation", step, epoch, loss=loss, accuracy=accuracy)

    def log(self, step: int, epoch: int, gradients: Any, updates: Mapping[str, Any]) -> None:
        """One logged step.

        Args:
            step: updates before it.
            epoch: which it is in.
            gradients: the structure of the model's taps, with a ``LagStatistics`` for each state.
            updates: ‖ΔW‖/‖W‖ of each parameter block, by its path.
        """
        ratios = {block: float(ratio) for block, ratio in updates.items()}
        self._metrics.append({"kind": "updates", "step": step, "epoch": epoch, "ratios": ratios})
        if self._events is not None:
            for block, ratio in ratios.items():
                self._events.add_scalar(f"updates/{block}", ratio, step)
        for record in gradient_records(step, gradients):
            self._gradients.append(record)
            if self._events is not None and record["q50"]:
                name = f"gradients/layer{record['layer']}/{record['state']}"
                self._events.add_scalar(f"{name}/half_life", half_life(record["q50"]), step)
                self._events.add_scalar(f"{name}/reach", reach(record["q50"]), step)
                self._events.add_scalar(f"{name}/norm_at_lag_0", record["q50"][0], step)
                norms = np.array(record["q50"])
                if np.isfinite(norms).all():
                    self._events.add_histogram(f"{name}/log10_norms", decades(norms), step, bins=DECADES)

    def _scalars(self, kind: str, step: int, epoch: int, **values: float) -> None:
        self._metrics.append({"kind": kind, "step": step, "epoch": epoch, **values})
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(f"{kind}/{name}", value, step)

    def sync(self) -> None:
        """Make all that was written durable."""
        self._metrics.sync()
        self._gradients.sync()

    def close(self) -> None:
        """Close the files."""
        self._metrics.close()
        self._gradients.close()
        if self._events is not None:
            self._events.close()


def decades(norms: np.ndarray) -> np.ndarray:
    """log10 of ``norms`` (L,), a norm of 0 and all that lies outside of ``DECADES`` at its ends."""
    smallest = np.finfo(np.float64).tiny
    return np.clip(np.log10(np.maximum(norms, smallest)), DECADES[0], DECADES[-1])


def write_pictures(folder: Path, pictures: Sequence[Path]) -> None:
    """Write PNG files as TensorBoard images named after them; earlier events in ``folder`` make way.

    Args:
        folder: for the event file, which holds nothing else.
        pictures: ``figures/gradient_by_lag.png`` becomes ``figures/gradient_by_lag``.
    """
    from PIL import Image
    from tensorboardX import SummaryWriter

    for earlier in folder.glob("events.out.tfevents.*"):
        earlier.unlink()
    events = SummaryWriter(str(folder))
    for path in pictures:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        events.add_image(f"{path.parent.name}/{path.stem}", pixels, dataformats="HWC")
    events.close()
