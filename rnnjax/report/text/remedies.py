"""The remedy of an alarm for a run of ``launch.py``: the library's words, and the flags that do the same."""

from rnnjax.diagnostics.alarms.evidence import Action, Alarm, Option
from rnnjax.runs.json_io import flat
from rnnjax.typing import JSONObject

FLAGS: dict[Option, str] = {
    "chrono": "--cells lstm:chrono={value:g} or gru:chrono={value:g}",
    "clip": "--clip",
    "embedding_scale": "--embedding-scale",
    "epochs": "--epochs",
    "flossing": "--flossing",
    "forget_bias": "--cells lstm:forget_bias={value:g} or gru:forget_bias={value:g}",
    "identity_init": "--cells simple:activation=relu,recurrent_init=identity",
    "learning_rate": "--learning-rate",
    "omega": "--omega",
    "orthogonal_scale": "--cells simple:recurrent_init=orthogonal*{value:g}",
    "seed": "--seed",
}


def flag(action: Action) -> str:
    """The flag of ``launch.py`` for one change: "--clip 1", or "--clip" where the action proposes no value."""
    text = FLAGS[action.option]
    if action.value is None:
        return text
    return text.format(value=action.value) if "{" in text else f"{text} {action.value:g}"


def remedy_with_flags(alarm: Alarm, run_flags: JSONObject) -> str:
    """The alarm's remedy, followed by those flags of ``launch.py`` for it that the run's experiment has.

    Args:
        alarm: with the changes that its remedy proposes.
        run_flags: the run's settings by name, nested as in ``Run.flags``.
    """
    settings = {name.rpartition(".")[2]: value for name, value in flat(run_flags).items()}
    flags = [(flag(action), action.option) for action in alarm.actions]
    known = [(text, option) for text, option in flags if text.split()[0][2:].replace("-", "_") in settings]
    by_value = settings.get("clip_by") == "value"  # where a norm is proposed, --clip alone would clip each number
    texts = [f"{text} --clip-by norm" if option == "clip" and by_value else text for text, option in known]
    return f"{alarm.remedy} Flags: {'; '.join(texts)}" if texts else alarm.remedy
