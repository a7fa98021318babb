"""The remedy of an alarm for a run of ``launch.py``: the library's words, and the flags that do the same."""

from rnnjax.diagnostics.alarms.evidence import Action, Alarm, Option

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


def remedy_with_flags(alarm: Alarm) -> str:
    """The alarm's remedy, followed by a sentence that lists the flags of ``launch.py`` for it, where it has any."""
    if not alarm.actions:
        return alarm.remedy
    return f"{alarm.remedy} Flags: {'; '.join(map(flag, alarm.actions))}"
