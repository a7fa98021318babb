"""TensorBoard event files with the numbers and figures of a run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rnnjax.diagnostics import half_life, reach
from rnnjax.errors import UserError
from rnnjax.regular_files import check_no_link, open_regular
from rnnjax.runs.codec import encode
from rnnjax.runs.json_io import MOST_BYTES
from rnnjax.runs.member_schema import GradientRecord, MetricsRecord, UpdateRecord
from rnnjax.typing import Floats

DECADES = np.arange(-12, 7, 0.5)  # log10 of norms; what is weaker or stronger counts at the ends


class EventWriter:
    """Event files in ``folder``; what TensorBoard has read there of ``step`` and later, it forgets."""

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboardX import SummaryWriter

        self._events = SummaryWriter(str(folder), purge_step=step)

    def add_metrics(self, record: MetricsRecord) -> None:
        """The numbers of a record under their names, as "train/loss" and "updates/recurrent/cell/w_h"."""
        values = encode(record)
        kind, step, _ = (values.pop(name) for name in ("kind", "step", "epoch"))
        values |= values.pop("errors", {})
        for name, value in (record.ratios if isinstance(record, UpdateRecord) else values).items():
            self._events.add_scalar(f"{kind}/{name}", value, step)

    def add_gradients(self, record: GradientRecord, *, decays: bool = True) -> None:
        """Value at lag 0 of the median norm, a histogram over all lags of its log10, and half-life and reach.

        The last two only where the gradient ``decays`` over the lag, because the loss reads the last step alone.
        """
        if not len(record.q50):
            return
        name = f"gradients/layer{record.layer}/{record.state}"
        if decays:
            self._events.add_scalar(f"{name}/half_life", half_life(record.q50), record.step)
            self._events.add_scalar(f"{name}/reach", reach(record.q50), record.step)
        self._events.add_scalar(f"{name}/norm_at_lag_0", record.q50[0], record.step)
        if np.isfinite(record.q50).all():
            self._events.add_histogram(f"{name}/log10_norms", decades(record.q50), record.step, bins=DECADES)

    def close(self) -> None:
        """Close the file."""
        self._events.close()


def decades(norms: Floats) -> Floats:
    """log10 of ``norms`` (L,); a norm of 0, and what lies outside of ``DECADES``, is put to its ends."""
    smallest = np.finfo(np.float64).tiny
    return np.clip(np.log10(np.maximum(norms, smallest)), DECADES[0], DECADES[-1])


def write_pictures(folder: Path, pictures: Sequence[Path]) -> None:
    """Write PNG files as TensorBoard images named after them; earlier event files in ``folder`` are removed.

    Args:
        folder: for the event file, which holds nothing else.
        pictures: ``figures/gradient_by_lag.png`` becomes ``figures/gradient_by_lag``.

    Raises:
        UserError: ``folder`` is a symbolic link or cannot be written, or a picture is a link or cannot be read.
    """
    try:
        _write_images(folder, pictures)
    except OSError as error:
        raise UserError(
            f"The figures cannot be written for TensorBoard ('{error.filename or folder}': "
            f"{error.strerror or error}); fix that, or leave out --tensorboard."
        ) from error


def _write_images(folder: Path, pictures: Sequence[Path]) -> None:
    from PIL import Image
    from tensorboardX import SummaryWriter

    check_no_link(folder)
    for earlier in folder.glob("events.out.tfevents.*"):
        earlier.unlink()
    events = SummaryWriter(str(folder))
    for path in pictures:
        with open_regular(path, MOST_BYTES, follow_links=False) as file, Image.open(file) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        events.add_image(f"{path.parent.name}/{path.stem}", pixels, dataformats="HWC")
    events.close()
