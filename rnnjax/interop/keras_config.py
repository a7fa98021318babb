"""What a layer of Keras says of itself: its weights, and the options that the weights do not show."""

from collections.abc import Mapping
from typing import Any, NamedTuple

LAYERS = ("SimpleRNN", "LSTM", "GRU")
REQUIRED = {  # options of which rnnjax has one value only, which is Keras' default
    "recurrent_activation": "sigmoid",
    "reset_after": True,
    "go_backwards": False,
    "time_major": False,
    "merge_mode": "concat",
}
WHY = {
    "recurrent_activation": "rnnjax's gates have the activation sigmoid only",
    "reset_after": "it resets h before the product with W_h, and rnnjax's GRU after it (reset_after=True, the default)",
    "go_backwards": "give layer.get_weights() and set reverse=True of the module, whose outputs keep the steps' order",
    "time_major": "give layer.get_weights() and set time_major=True of the module",
    "merge_mode": "rnnjax.Bidirectional concatenates the outputs of both directions (merge_mode='concat', the default)",
}


class LayerOptions(NamedTuple):
    """The options of a layer of Keras; None is unknown."""

    activation: str | None = None
    recurrent_activation: str | None = None
    reset_after: bool | None = None


def is_layer(value: object) -> bool:
    """Whether ``value`` is a layer of Keras."""
    return hasattr(value, "get_weights") and hasattr(value, "get_config") and not isinstance(value, type)


def read_layer(layer: Any) -> tuple[list[Any], LayerOptions]:
    """The weights and options of a layer of Keras.

    Raises:
        ValueError: another layer than SimpleRNN, LSTM, GRU or one of these in Bidirectional, a layer without weights
            yet, or options that rnnjax does not have.
    """
    kind, config = type(layer).__name__, layer.get_config()
    parts = [(kind, config)]
    if kind == "Bidirectional":
        check_options(kind, {"merge_mode": config.get("merge_mode")})
        parts = [(config["layer"]["class_name"], config["layer"]["config"])]
        if other := config.get("backward_layer"):
            parts.append((other["class_name"], dict(other["config"]) | {"go_backwards": False}))
    for name, options in parts:
        if name not in LAYERS:
            raise ValueError(
                f"from_keras takes one layer, {', '.join(LAYERS)} or Bidirectional around one of them, got {name}; of "
                "a model, give model.layers[k] or model.get_layer(name)."
            )
        check_options(name, options)
    activations = [options["activation"] for _, options in parts]
    if not all(isinstance(activation, str) for activation in activations):
        raise ValueError(f"The {kind} has an activation of its own making; rnnjax has tanh, and relu of a SimpleRNN.")
    if any(activation != activations[0] for activation in activations):
        raise ValueError(
            f"The two directions have the activations {activations[0]!r} and {activations[1]!r}; "
            "layers are imported where they are the same."
        )
    weights = layer.get_weights()
    if not weights:
        raise ValueError(f"The {kind} has no weights yet; call it on a batch first, or load its weights.")
    known = parts[0][1]
    return weights, LayerOptions(activations[0], known.get("recurrent_activation"), known.get("reset_after"))


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Raise ValueError for the first of ``options`` that rnnjax does not have; None counts as not given."""
    for option, value in REQUIRED.items():
        given = options.get(option)
        if given is not None and given != value:
            raise ValueError(f"Keras' {name} with {option}={given!r} cannot be imported: {WHY[option]}.")
