"""The smallest use of everything: cells, layers, diagnosis, attribution and, with arguments, the command line.

    python tests/modes/smoke.py                                   the library
    python tests/modes/smoke.py adding --length 4 --out FOLDER    launch.py with these arguments

It ends with status 0 only if every number is right, and does so without ``assert``, which ``python -OO`` leaves out.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

import launch
import rnnjax
from rnnjax.analysis.input_reach import input_reach
from rnnjax.analysis.word_attribution import explain_text
from rnnjax.data.dataset import Examples, Objective

T, B, D, H = 4, 2, 2, 3
LENGTHS = np.array([4, 2])
POOLINGS = ("last", "mean", "max", "attention")


def expect(condition: object, what: str) -> None:
    """Exit with ``what`` where the condition does not hold."""
    if not condition:
        sys.exit(f"wrong: {what}")


def finite(tree: object) -> bool:
    """Whether all arrays in a tree are finite."""
    return all(np.isfinite(np.asarray(a)).all() for a in jax.tree.leaves(tree))


def gradients(cell: rnnjax.Cell) -> None:
    """The fused gradient of parameters, inputs and taps is that of automatic differentiation, and 0 in the padding."""
    params = cell.init(jax.random.key(0), D)
    xs = jax.random.normal(jax.random.key(1), (T, B, D))
    taps = cell.initial_state((T, B))

    def gradient(backward: str) -> object:
        def loss(params: object, xs: object, taps: object) -> jax.Array:
            final, ys = rnnjax.unroll(cell, params, xs, lengths=LENGTHS, taps=taps, backward=backward)
            return (final.h**2).sum() + ys.h[:2].sum()

        return jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(params, xs, taps)

    fused, autodiff = gradient("fused"), gradient("autodiff")
    for a, b in zip(jax.tree.leaves(fused), jax.tree.leaves(autodiff), strict=True):
        expect(np.allclose(a, b, rtol=1e-4, atol=1e-6), f"fused gradient of {cell}")
    expect(not np.any(fused[1][2:, 1]), f"gradient in the padding of {cell}")
    expect(np.any(fused[2].h), f"taps of {cell}")


def classifiers() -> None:
    """With a row of length 0 every pooling has a finite gradient; a diagnosis and an explanation are finite."""
    tokens = jnp.array([[2, 3, 4, 5], [3, 4, 0, 0], [0, 0, 0, 0]])
    lengths = jnp.array([4, 2, 0])
    for pooling in POOLINGS:
        model = rnnjax.SequenceClassifier(7, D, rnnjax.RNN(rnnjax.GRU(H)), pooling=pooling)
        params = model.init(jax.random.key(0), tokens)["params"]

        def loss(params: object, batch: object, model: rnnjax.SequenceClassifier = model) -> jax.Array:
            inputs, lengths = batch
            return model.apply({"params": params}, inputs, lengths=lengths)[1][:, 0] ** 2

        value, gradient = jax.jit(jax.value_and_grad(lambda params: loss(params, (tokens, lengths)).sum()))(params)
        expect(finite((value, gradient)), f"gradient of pooling {pooling} with an empty row")
        if pooling == "max":
            found = rnnjax.diagnose(model, params, (tokens, lengths), loss)
            decay = found.diagnosis.layers[0].by_lag["decay"].q50
            expect(decay[0] == 1 and decay[1] > 0, "decay of the classifier's gradient")
    explained = explain_text(model, params, tokens[0], 1)
    expect(finite(explained) and np.any(explained.measured), "explanation")


def reach() -> None:
    """A layer whose answer is wanted at its last step moves with every input, and a constant answer is at chance."""
    layer = rnnjax.RNN(rnnjax.LSTM(H))
    xs = np.array(jax.random.normal(jax.random.key(1), (8, T, D)))
    variables = layer.init(jax.random.key(0), xs)
    examples = Examples(xs, np.full(8, T), np.zeros(8, np.int32))
    found = input_reach(lambda v, x, n: layer.apply(v, x, lengths=n)[1], variables, Objective.CLASSES, examples)
    expect(found.left.at_chance and found.reach is None, "reach at chance")
    expect(finite(found.moves) and (found.moves > 0).all() and found.furthest == T - 1, "moves of the answer")


def layers() -> None:
    """Both directions and two layers, on numbers."""
    both = rnnjax.Bidirectional(rnnjax.RNN(rnnjax.LSTM(H)), rnnjax.RNN(rnnjax.GRU(H), reverse=True))
    model = rnnjax.Stack((both, rnnjax.RNN(rnnjax.SimpleRNN(H))))
    xs = jax.random.normal(jax.random.key(1), (B, T, D))
    variables = model.init(jax.random.key(0), xs)
    gradient = jax.jit(jax.grad(lambda v: (model.apply(v, xs, lengths=LENGTHS)[1] ** 2).sum()))(variables)
    expect(finite(gradient) and all(np.any(a) for a in jax.tree.leaves(gradient)), "gradient of a stack")


def main() -> None:
    """Run the library, or launch.py with the arguments given."""
    if arguments := sys.argv[1:]:
        launch.exit_process(launch.main(arguments))
    for cell in (rnnjax.SimpleRNN(H), rnnjax.LSTM(H), rnnjax.GRU(H)):
        gradients(cell)
    layers()
    classifiers()
    reach()
    print("all right")


if __name__ == "__main__":
    main()
