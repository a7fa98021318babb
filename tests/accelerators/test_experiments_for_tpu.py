"""Every program of every experiment, compiled for TPUs; run by ``nox -s tpu``, skipped where libtpu is not installed.

Each program is compiled for one v5e, a Colab's TPU. How a batch is divided is compiled for eight v5e, a Kaggle's TPU,
with as many programs as differ in that; two experiments are compiled for a v6e.
"""

import jax
import pytest

from benchmarks.experiment_programs import COMMANDS, OTHER_CELLS, PROGRAMS
from rnnjax.config.execution import Execution
from rnnjax.sharding.compiled_text import collectives
from rnnjax.sharding.program_spec import Division

pytestmark = pytest.mark.accelerators
DIVIDED = ("recall --cells lstm", "imdb --cells lstm", "temporal --cells simple:omega=2", "characters --cells lstm")
SCALARS = 16  # most numbers of one member that are summed beside its gradient


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_program_compiles_for_one_chip(command, name, compiled_program):
    text, _ = compiled_program("v5e", command, name)
    assert collectives(text) == []


@pytest.mark.parametrize("command", OTHER_CELLS)
def test_another_cell_is_trained_on_one_chip(command, compiled_program):
    compiled_program("v5e", command, "train")


def test_training_without_the_log_compiles_for_one_chip(compiled_program):
    compiled_program("v5e", "recall --cells lstm --log-gradients-every 0", "train")


@pytest.mark.parametrize("name", ["train", "measure"])
@pytest.mark.parametrize("command", ["recall --cells gru", "imdb --cells lstm"])
def test_a_program_compiles_for_a_newer_chip(command, name, compiled_program):
    compiled_program("v6e", command, name)


def sizes(params, divisions):
    """(bytes of the parameters that every device holds, of those whose rows are divided)."""
    pairs = zip(jax.tree.leaves(params), jax.tree.leaves(divisions), strict=True)
    both = [(4 * a.size, division) for a, division in pairs]
    return tuple(sum(b for b, division in both if division is kind) for kind in (Division.WHOLE, Division.ROWS))


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
@pytest.mark.parametrize("command", DIVIDED)
def test_a_step_on_eight_chips_sums_its_gradient_once(command, parallel, compiled_program):
    """In a plain step and in a logged one: the weights of the batch, then all gradients, in one operation each.

    Of a matrix with divided rows the gradient is summed by itself, then its squares, for the norm, and the rows are
    gathered. A state that is carried to the next batch is gathered at the end of a step, and so is the log. There is
    nothing between devices in the loops over time.
    """
    text, programs = compiled_program("v5e-8", command, "train", execution=Execution(parallel=parallel))
    state, members = programs.specs.train.arguments[2], programs.layout.members
    division = programs.layout.batch_shard(state.params).division
    divisions = division if parallel == "jit" else jax.tree.map(lambda a: division, state.params)
    whole, divided = sizes(state.params, divisions)
    found = collectives(text)
    reduced = sorted(one.result_bytes for one in found if one.opcode == "all-reduce")
    gathered = [one.result_bytes for one in found if one.opcode == "all-gather"]
    kinds = 2  # of steps: plain and logged
    assert len(reduced) + len(gathered) == len(found)
    assert reduced[:kinds] == [4 * members] * kinds
    if divided:
        assert reduced[-kinds:] == [members * divided] * kinds
        assert gathered.count(members * divided) == kinds
        squares, reduced = reduced[kinds : 2 * kinds], reduced[:kinds] + reduced[2 * kinds :]
        assert max(squares) <= members * 4 * SCALARS
    in_one = reduced[kinds : 2 * kinds]
    assert len(reduced) == (3 if divided else 2) * kinds
    assert all(members * whole < size <= members * (whole + 4 * SCALARS) for size in in_one)
    carried = [members * 4 * a.size for a in jax.tree.leaves(state.carry)]
    assert sorted(gathered)[: kinds * len(carried)] == sorted(carried) * kinds
    assert len(gathered) == kinds * (bool(divided) + len(carried)) + 1


@pytest.mark.parametrize("command", DIVIDED)
def test_evaluation_compiles_for_eight_chips(command, compiled_program):
    text, _ = compiled_program("v5e-8", command, "evaluate")
    assert {one.opcode for one in collectives(text)} == {"all-gather"}


def test_large_matrices_are_divided_over_pairs_of_eight_chips(compiled_program):
    execution = Execution(parallel="sharded", model_devices=2)
    text, programs = compiled_program("v5e-8", "imdb --cells lstm", "train", execution=execution)
    assert dict(programs.layout.mesh.shape) == {"member": 1, "data": 4, "model": 2}
    assert {"all-reduce", "all-gather"} <= {one.opcode for one in collectives(text)}
