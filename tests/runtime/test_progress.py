import io

import pytest
from rich.console import Console

from rnnjax.runtime.progress import ProgressView

LINE = "into /runs/[/b] of [red] " + 20 * "long " + "/end"


@pytest.mark.parametrize("terminal", [False, True])
def test_lines_are_printed_word_for_word_and_the_bar_on_terminals_only(terminal):
    output = io.StringIO()
    with ProgressView(Console(file=output, width=60, force_terminal=terminal, color_system=None)) as view:
        view.line(LINE, style="red")
        view.start("LSTM, seed 0", total=8)
        view.update(3, 0.25)
    assert (LINE + "\n") in output.getvalue()
    assert ("LSTM, seed 0" in output.getvalue()) == terminal
    if not terminal:
        assert output.getvalue() == LINE + "\n"
