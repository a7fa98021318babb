"""Figures from the literature; without numpy, for which ``launch.py --help`` would wait."""

import msgspec


class Published(msgspec.Struct, frozen=True):
    """A figure from the literature, to stand beside ours.

    Attributes:
        model: as the source calls it.
        cell: our cell that it is compared with: simplernn, lstm or gru; None for another kind of model.
        score: what was measured: "test accuracy", a fraction, or "test loss", or of the validation.
        value: the score.
        setting: sizes and lengths with which it was measured.
        source: author and year.
    """

    model: str
    cell: str | None
    score: str
    value: float
    setting: str = ""
    source: str = ""
