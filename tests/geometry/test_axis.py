"""LayerAxis compared with the definition, tap by tap, without a formula."""

import itertools
from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from upsample_cli.geometry.axis import LayerAxis

TRANSPOSED = st.builds(
    LayerAxis,
    st.integers(1, 6),
    st.integers(1, 5),
    st.integers(0, 5),
    st.integers(0, 3),
    st.integers(1, 3),
    st.just(True),
)


def connections(axis, outputs):
    """The pairs (input, tap) for outputs, by the definition `o + padding == i*stride + t*dilation`."""
    return {
        (source, tap)
        for output in outputs
        for tap in range(axis.kernel_size)
        for source in range(-40, 60)
        if output + axis.padding == source * axis.stride + tap * axis.dilation
    }


@given(TRANSPOSED, st.integers(0, 20), st.integers(0, 6))
def test_outputs_depend_on_the_inputs_of_the_definition(axis, first, more):
    inputs = {source for source, _ in connections(axis, range(first, first + more + 1))}
    assert axis.seen(first, first + more) == ((min(inputs), max(inputs)) if inputs else None)
    low, high = axis.inputs_between(first, first + more)
    assert all(low <= source <= high for source in inputs)


@given(TRANSPOSED, st.integers(0, 20))
def test_the_taps_of_a_phase_match_its_outputs(axis, output):
    taps = sorted(tap for _, tap in connections(axis, [output]))
    assert list(axis.taps[output % axis.stride]) == taps
    assert sum(axis.taps_per_phase) == axis.kernel_size


def test_an_axis_is_even_if_equally_many_taps_reach_every_output():
    """Counted from the definition; with a dilation, kernel_size % stride == 0 is not enough."""
    verdicts = Counter()
    for kernel_size, stride, dilation in itertools.product(range(1, 13), range(1, 7), range(1, 7)):
        axis = LayerAxis(kernel_size, stride, 1, dilation=dilation, transposed=True)
        counts = [len(connections(axis, [output])) for output in range(26, 26 + stride)]
        assert sum(counts) == kernel_size
        assert axis.is_even == (len(set(counts)) == 1)
        verdicts[axis.is_even, kernel_size % stride == 0] += 1
    assert min(verdicts[True, True], verdicts[False, False], verdicts[False, True]) > 10


@given(st.integers(1, 8), st.integers(0, 12), st.integers(1, 9))
def test_the_halo_is_the_minimum_that_a_run_of_outputs_needs(stride, padding, count):
    axis = LayerAxis(stride + 2 * padding, stride, padding, transposed=True)
    inputs = [source for source, _ in connections(axis, range(count * stride))]
    assert axis.is_exact
    assert (min(inputs), max(inputs)) == (-axis.halo, count - 1 + axis.halo)


@given(TRANSPOSED, st.integers(1, 9))
def test_a_transposed_layer_is_exact_if_it_multiplies_every_size_by_the_stride(axis, size):
    assert axis.is_exact == (axis.output_size(size) == axis.stride * size)


@given(TRANSPOSED.map(lambda axis: replace(axis, transposed=False, output_padding=0)))
def test_a_convolution_is_exact_if_it_divides_every_multiple_of_the_stride(axis):
    sizes = range(10, 30)
    assert axis.is_exact == all(axis.output_size(size * axis.stride) == size for size in sizes)


def test_control_an_extra_tap_is_detected():
    axis = LayerAxis(3, 2, 1, transposed=True)
    assert replace(axis, kernel_size=5).seen(1, 1) != axis.seen(1, 1)
    assert replace(axis, kernel_size=4).taps != axis.taps
