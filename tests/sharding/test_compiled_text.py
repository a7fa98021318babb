"""What is read from the text of compiled programs, of such as were compiled here and of lines from other compilers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from rnnjax.sharding.compiled_text import code_keys, collectives, computations, host_calls, loops, reused_arguments

TPU_LINES = """HloModule jit_train, input_output_alias={ {0}: (3, {}, may-alias), {1, 2}: (4, {}, must-alias) }

%region_1.2 (arg: (s32[], f32[32,128])) -> (s32[], f32[32,128]) {
  %multiply_add_fusion.6 = (f32[3,64,256]{2,1,0:T(8,128)S(1)}, bf16[3,256]{1,0:T(4,128)S(1)}) fusion(%a), kind=kOutput
  %all-reduce.12 = (f32[3,64]{1,0:T(8,128)S(1)}, f32[3]{0:T(128)}, /*index=2*/pred[3]{0}) all-reduce(%a, %b, %c)
  ROOT %copy-start.2 = (f32[4]{0:T(128)S(1)}, f32[4]{0:T(128)}, u32[]{:S(2)}) copy-start(%constant.676)
}

%fused_computation.534 (b: f32[1,4,128]) -> f32[1,32,128] {
  ROOT %all-gather.12 = f32[1,32,128]{2,0,1:T(1,128)} all-gather(%b), channel_id=1, dimensions={1}
}

%async_collective_fusion.434 (b: f32[1,4,128]) -> f32[1,32,128] {
  ROOT %all-gather.14 = f32[1,32,128]{2,0,1:T(1,128)S(1)} all-gather(%b), channel_id=1, dimensions={1}
}

ENTRY %main.42 (x.1: f32[32,128]) -> f32[32,128] {
  %send.1 = (f32[4]{0}, u32[], token[]) send(%x.1, %after-all), channel_id=2
  ROOT %while.28 = (s32[]{:T(128)}, f32[32,128]{1,0}) while(%t), condition=%region_0.1, body=%region_1.2, metadata={}
}
"""


def compiled_text(function, *arguments, **options):
    return jax.jit(function, **options).lower(*arguments).compile().as_text()


def test_instructions_of_a_program_for_a_tpu():
    found = computations(TPU_LINES)
    assert [one.opcode for one in found["region_1.2"]] == ["fusion", "all-reduce", "copy-start"]
    assert [one.result_bytes for one in found["region_1.2"]] == [4 * 3 * 64 * 256 + 2 * 3 * 256, 4 * 195 + 3, 36]
    (loop,) = loops(TPU_LINES)
    assert loop.body == found["region_1.2"]
    assert "while.28" in loop.text
    assert [one.name for one in collectives(TPU_LINES)] == ["all-reduce.12", "all-gather.14"]
    assert [one.name for one in host_calls(TPU_LINES)] == ["send.1"]
    assert reused_arguments(TPU_LINES) == 2


def test_a_loop_forward_and_one_back_are_found():
    def loss(w, xs):
        return jnp.sum(jax.lax.scan(lambda h, x: (jnp.tanh(h @ w + x), h), xs[0], xs)[1])

    text = compiled_text(jax.grad(loss), jnp.ones((3, 3)), jnp.ones((20, 2, 3)))
    assert ["transpose(" in loop.text for loop in loops(text)] == [False, True]
    assert all(len(loop.body) > 1 for loop in loops(text))
    assert host_calls(text) == collectives(text) == []


@pytest.mark.parametrize("donated", [(), (0,)])
def test_a_reused_argument_is_counted(donated):
    def add(state, x):
        return jax.tree.map(lambda a: a + x, state)

    state = {"a": jnp.ones(5), "b": jnp.ones((2, 3))}
    assert reused_arguments(compiled_text(add, state, 1.0, donate_argnums=donated)) == 2 * len(donated)


def test_a_call_of_the_host_is_found():
    def step(x):
        return x + jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    assert len(host_calls(compiled_text(step, jnp.ones(3)))) == 1


def test_what_devices_exchange_is_counted_in_bytes():
    mesh = Mesh(np.array(jax.devices()[:4]), "data")

    def total(x):
        return jax.lax.psum(x.sum(axis=0), "data"), jax.lax.all_gather(x[0], "data")

    divided = jax.shard_map(total, mesh=mesh, in_specs=P("data"), out_specs=P(), check_vma=False)
    found = collectives(compiled_text(divided, jnp.ones((8, 6))))
    assert {one.opcode: one.result_bytes for one in found} == {"all-reduce": 24, "all-gather": 96}


ALIKE = """
%fused.1 (p.0: f32[8], p.1: f32[8]) -> f32[8] {
  %p.0 = f32[8]{0} parameter(0)
  %p.1 = f32[8]{0} parameter(1)
  ROOT %sub.3 = f32[8]{0} subtract(%p.0, %p.1), metadata={op_name="a"}
}

%fused.2 (q.7: f32[8], q.1: f32[8]) -> f32[8] {
  %q.7 = f32[8]{0} parameter(0)
  %q.1 = f32[8]{0} parameter(1)
  ROOT %sub.9 = f32[8]{0} subtract(%q.7, %q.1), metadata={op_name="b"}
}

%fused.3 (q.7: f32[8], q.1: f32[8]) -> f32[8] {
  %q.7 = f32[8]{0} parameter(0)
  %q.1 = f32[8]{0} parameter(1)
  ROOT %sub.9 = f32[8]{0} subtract(%q.1, %q.7)
}

ENTRY %main (x.1: f32[8], y: f32[8]) -> f32[8] {
  %x.1 = f32[8]{0} parameter(0)
  %y = f32[8]{0:S(1)} parameter(1)
  %fusion.1 = f32[8]{0} fusion(%x.1, %x.1), kind=kLoop, calls=%fused.1, backend_config={"a":1}
  %fusion.2 = f32[8]{0} fusion(%x.1, /*index=1*/%fusion.1), kind=kLoop, calls=%fused.2
  %fusion.3 = f32[8]{0} fusion(%x.1, %x.1), kind=kLoop, calls=%fused.3
  %fusion.4 = f32[8]{0} fusion(%x.1, %y), kind=kLoop, calls=%fused.1
  %copy.1 = f32[8]{0} copy(%fusion.1)
  %copy.2 = f32[8]{0} copy(%fusion.2)
  ROOT %copy.3 = f32[8]{0} copy(%y)
}
"""


def test_instructions_of_which_a_compiler_makes_the_code_once():
    """The third fusion subtracts in the other order; the fourth, and the last copy, read another memory space."""
    keys = code_keys(ALIKE)
    assert keys["fusion.1"] == keys["fusion.2"]
    assert keys["copy.1"] == keys["copy.2"]
    assert len({keys[f"fusion.{i}"] for i in (1, 3, 4)} | {keys["copy.1"], keys["copy.3"]}) == 5
