"""Progress of a job on the terminal: a bar with steps/s and time left, and a line for each finished run."""

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class _StepsPerSecond(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} steps/s" if task.speed else "", style="cyan")


class ProgressView:
    """A progress bar below lines that stay; a context manager.

    Where the output is not a terminal, only the lines appear.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            _StepsPerSecond(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=1, note="", visible=False)

    def line(self, text: str, style: str | None = None) -> None:
        """Print a line that stays, without markup or wrapping."""
        self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def start(self, description: str, total: int) -> None:
        """Restart the bar, for ``total`` steps."""
        self._bar.reset(self._task, total=total, description=description, note="", visible=True)

    def update(self, done: int, loss: float) -> None:
        """Show ``done`` steps and the loss of the last one."""
        self._bar.update(self._task, completed=done, note=f"loss {loss:.3f}")

    def steps(self, done: int, total: int) -> None:
        """Show ``done`` of ``total`` steps."""
        self._bar.update(self._task, completed=done, total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
