"""Sizes: compared with torch on the meta device and the CPU, with counts made sample by sample, and with textbooks."""

import itertools
import warnings
from collections import Counter
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from upsample_cli.errors import GeometryError
from upsample_cli.geometry import axes as many
from upsample_cli.geometry import sizes as one
from upsample_cli.geometry.axis import LayerAxis

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
K3S2P1 = {"kernel_size": 3, "stride": 2, "padding": 1}


def conv_output_sizes(sizes, **settings_):
    return many.over_axes(one.conv_output_size, sizes, settings_)


def transposed_output_sizes(sizes, **settings_):
    return many.over_axes(one.transposed_output_size, sizes, settings_)


def torch_sizes(layers, sizes, keywords, device, **forward):
    """The oracle: the sizes that torch computes, or None if torch refuses."""
    with warnings.catch_warnings():
        # torch warns of weights without elements and of copies for padding="same"; neither is a refusal.
        warnings.simplefilter("ignore", UserWarning)
        try:
            layer = layers[len(sizes)](1, 1, **keywords, device=device)
            got = tuple(layer(torch.empty((1, 1, *sizes), device=device), **forward).shape[2:])
        except (RuntimeError, ValueError, TypeError, ZeroDivisionError):
            return None
    return got if min(got) > 0 else None


def our_sizes(function, *args, **keywords):
    """The sizes that the package computes, or None if it refuses."""
    try:
        return function(*args, **keywords)
    except GeometryError:
        return None


def compare_with_torch(function, layers, device, strategy, examples):
    """Compare `function` with torch over `examples` random settings; count how often torch accepted and refused."""
    seen = Counter()

    @settings(deadline=None, max_examples=examples, derandomize=True)
    @given(strategy)
    def compare(case):
        sizes, keywords = case
        expected, found = torch_sizes(layers, sizes, keywords, device), our_sizes(function, sizes, **keywords)
        if found is None and expected is not None and device == "meta":
            expected = torch_sizes(layers, sizes, keywords, "cpu")
        seen["refused" if expected is None else "accepted"] += 1
        assert found == expected

    compare()
    return seen


def cases(size, numbers, words=None):
    """Sizes of 1 to 3 axes, and settings that are one number, or one number per axis."""

    def of(axes):
        either = {
            name: st.one_of(values, st.tuples(*[values] * axes)) if name not in (words or {}) else values
            for name, values in (numbers | (words or {})).items()
        }
        return st.tuples(st.tuples(*[size] * axes), st.fixed_dictionaries(either))

    return st.one_of(*map(of, (1, 2, 3)))


LEGAL = {
    "kernel_size": st.integers(1, 9),
    "stride": st.integers(1, 6),
    "padding": st.integers(0, 9),
    "dilation": st.integers(1, 6),
}
ANY = {
    "kernel_size": st.integers(-1, 5),
    "stride": st.integers(-1, 4),
    "padding": st.integers(-2, 5),
    "dilation": st.integers(-1, 4),
}
USUAL = {
    "kernel_size": st.integers(2, 4),
    "stride": st.integers(1, 3),
    "padding": st.integers(0, 2),
    "dilation": st.integers(1, 2),
}
MODES = {"padding_mode": st.sampled_from(["zeros", "reflect", "replicate", "circular"])}


# The meta device computes sizes without pixels, so thousands are cheap, but it is more permissive than real devices:
# it accepts kernel_size 0, negative padding and, since torch 2.14, some output_padding that they refuse. So sizes
# come from the meta device and refusals from the CPU, which `compare_with_torch` tries only if the package refuses.
# An output of 0 samples, which some torch routes refuse and others return, counts as refused.


def test_transposed_sizes_equal_torchs_on_the_meta_device():
    """The package accepts what torch accepts, with the same sizes, and refuses what torch refuses."""
    strategy = cases(st.integers(1, 200), LEGAL | {"output_padding": st.integers(0, 6)})
    seen = compare_with_torch(transposed_output_sizes, TRANSPOSED, "meta", strategy, 1500)
    assert min(seen["accepted"], seen["refused"]) > 200


def test_conv_sizes_equal_torchs_on_the_meta_device():
    numbers = LEGAL | {"padding": st.integers(0, 2)}
    # Many small sizes are refused. How many of each kind are tried depends on hypothesis.
    both = cases(st.integers(1, 200), numbers) | cases(st.integers(1, 20), numbers)
    seen = compare_with_torch(conv_output_sizes, CONV, "meta", both, 1500)
    assert min(seen["accepted"], seen["refused"]) > 200


def test_transposed_refusals_equal_torchs_on_the_cpu():
    strange = cases(st.integers(0, 5), ANY | {"output_padding": st.integers(-1, 4)})
    usual = cases(st.integers(1, 5), USUAL | {"output_padding": st.integers(0, 2)})
    seen = compare_with_torch(transposed_output_sizes, TRANSPOSED, "cpu", strange | usual, 700)
    assert min(seen["accepted"], seen["refused"]) > 50


def test_conv_refusals_and_padding_modes_equal_torchs_on_the_cpu():
    strange, usual = cases(st.integers(0, 9), ANY, MODES), cases(st.integers(3, 9), USUAL, MODES)
    seen = compare_with_torch(conv_output_sizes, CONV, "cpu", strange | usual, 900)
    assert min(seen["accepted"], seen["refused"]) > 50


def test_conv_sizes_with_named_padding_equal_torchs_on_the_cpu():
    words = MODES | {"padding": st.sampled_from(["same", "valid"])}
    numbers = {name: LEGAL[name] for name in ("kernel_size", "dilation")} | {"stride": st.sampled_from([1, 1, 2])}
    seen = compare_with_torch(conv_output_sizes, CONV, "cpu", cases(st.integers(1, 9), numbers, words), 500)
    assert min(seen["accepted"], seen["refused"]) > 100


@pytest.mark.parametrize(
    ("function", "layers", "wrong"),
    [
        (transposed_output_sizes, TRANSPOSED, lambda sizes: tuple(size + 1 for size in sizes)),
        (transposed_output_sizes, TRANSPOSED, lambda _: None),
        (conv_output_sizes, CONV, lambda sizes: tuple(max(1, size - 1) for size in sizes)),
    ],
)
def test_control_the_comparison_with_torch_detects_a_wrong_size(function, layers, wrong):
    with pytest.raises(AssertionError):
        compare_with_torch(
            lambda sizes, **keywords: wrong(function(sizes, **keywords)),
            layers,
            "meta",
            cases(st.integers(20, 30), {"kernel_size": st.integers(2, 4)}),
            30,
        )


@settings(deadline=None, max_examples=600, derandomize=True)
@given(
    cases(st.integers(1, 6), {**LEGAL, "padding": st.integers(0, 5)}),
    st.lists(st.integers(-2, 20), min_size=3, max_size=3),
)
def test_output_size_is_accepted_if_torch_accepts_it(case, numbers):
    """`output_size=` of the forward call: the same range, and the output_padding that gives this size."""
    sizes, keywords = case
    wanted = numbers[: len(sizes)]
    kept = many.split_axes(len(sizes), keywords)
    ours = [
        our_sizes(one.output_padding_for, size, want, **axis)
        for size, want, axis in zip(sizes, wanted, kept, strict=True)
    ]
    accepted = torch_sizes(TRANSPOSED, sizes, keywords, "meta", output_size=wanted) is not None
    assert (None not in ours) == accepted
    if accepted:
        got = [
            one.transposed_output_size(n, output_padding=op, **axis)
            for n, op, axis in zip(sizes, ours, kept, strict=True)
        ]
        assert got == wanted


def counted_conv(size, *, kernel_size, stride, padding, dilation):
    """Count the positions at which the kernel fits, sample by sample, without a formula."""
    padded = range(-padding, size + padding)
    return sum(1 for start in padded[::stride] if all(start + tap * dilation in padded for tap in range(kernel_size)))


def counted_transposed(size, *, kernel_size, stride, padding, output_padding, dilation):
    """Mark every sample that an input touches, then crop; output_padding extends the end. No formula."""
    touched = {i * stride + tap * dilation for i, tap in itertools.product(range(size), range(kernel_size))}
    return len(range(max(touched) + 1 + output_padding)[padding:][: -padding or None])


@settings(deadline=None, max_examples=400, derandomize=True)
@given(st.integers(1, 30), st.fixed_dictionaries(LEGAL), st.integers(0, 5))
def test_sizes_equal_a_count_sample_by_sample(size, setting, output_padding):
    conv = our_sizes(one.conv_output_size, size, **setting)
    assert (conv or 0) == counted_conv(size, **setting)
    if output_padding < max(setting["stride"], setting["dilation"]):
        transposed = our_sizes(one.transposed_output_size, size, output_padding=output_padding, **setting)
        assert (transposed or 0) == counted_transposed(size, output_padding=output_padding, **setting)


@settings(deadline=None, max_examples=300, derandomize=True)
@given(st.integers(1, 60), st.fixed_dictionaries(LEGAL))
def test_output_padding_can_restore_every_convolved_size(size, setting):
    smaller = our_sizes(one.conv_output_size, size, **setting)
    if smaller is None:
        with pytest.raises(GeometryError):
            one.inverting_output_padding(size, **setting)
        return
    output_padding = one.inverting_output_padding(size, **setting)
    assert one.transposed_output_size(smaller, output_padding=output_padding, **setting) == size
    # The output sizes that one layer can produce are those that the convolution reduces to the same size.
    assert size in one.output_size_range(smaller, **setting)
    assert {one.conv_output_size(n, **setting) for n in one.output_size_range(smaller, **setting)} == {smaller}


def test_the_same_settings_do_not_always_reverse_the_shape_of_a_convolution():
    """A common claim that is false: it takes (in + 2p - d(k-1) - 1) % s == 0."""
    back = [one.transposed_output_size(one.conv_output_size(n, **K3S2P1), **K3S2P1) for n in (224, 225)]
    assert back == [223, 225]


# Textbook cases


@pytest.mark.parametrize(
    ("sizes", "setting", "expected"),
    [
        ((2, 2), {"kernel_size": 2}, (3, 3)),
        ((2, 2), {"kernel_size": 2, "padding": 1}, (1, 1)),
        ((2, 2), {"kernel_size": 2, "stride": 2}, (4, 4)),
        ((50,), K3S2P1, (99,)),
        ((50, 100), K3S2P1 | {"output_padding": 1}, (100, 200)),  # not 101x201, as a widely copied article says
        ((10, 50, 100), K3S2P1 | {"output_padding": (0, 1, 1)}, (19, 100, 200)),
        ((256, 256), {"kernel_size": 4, "stride": 2, "padding": 1}, (512, 512)),
        ((2, 2), {"kernel_size": 2, "stride": 1}, (3, 3)),
    ],
)
def test_textbook_transposed_convolutions(sizes, setting, expected):
    assert transposed_output_sizes(sizes, **setting) == expected


def test_textbook_convolution_of_arange_9():
    assert conv_output_sizes((3, 3), kernel_size=2) == (2, 2)


def test_textbook_round_trip_on_16_17_and_18():
    setting = {"kernel_size": 5, "stride": 3, "padding": 2}
    assert [one.inverting_output_padding(n, **setting) for n in (16, 17, 18)] == [0, 1, 2]
    assert {one.conv_output_size(n, **setting) for n in (16, 17, 18)} == {6}
    assert [one.transposed_output_size(6, output_padding=op, **setting) for op in (0, 1, 2)] == [16, 17, 18]


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.integers(1, 40), st.fixed_dictionaries({name: LEGAL[name] for name in ("kernel_size", "stride", "padding")}))
def test_the_rule_n_times_s_plus_s_minus_k_holds_only_if_p_is_k_minus_s(size, setting):
    output = our_sizes(one.transposed_output_size, size, **setting)
    kernel_size, stride, padding = setting["kernel_size"], setting["stride"], setting["padding"]
    if output is not None:
        assert (output == size * stride + (stride - kernel_size)) == (padding == kernel_size - stride)


@settings(deadline=None, max_examples=300, derandomize=True)
@given(st.integers(1, 40), st.fixed_dictionaries(LEGAL | {"dilation": st.just(1)}), st.integers(0, 5))
def test_exactly_times_stride_if_and_only_if_k_minus_2p_plus_op_is_s(size, setting, output_padding):
    """Such a layer is -op/2 output pixels away from half-pixel alignment."""
    output = our_sizes(one.transposed_output_size, size, output_padding=output_padding, **setting)
    if output is not None:
        exact = setting["kernel_size"] - 2 * setting["padding"] + output_padding == setting["stride"]
        assert (output == size * setting["stride"]) == exact
        if exact:
            assert LayerAxis(**setting, transposed=True).shift == Fraction(-output_padding, 2)


def test_shift_of_k3_s2_p1_is_half_a_pixel_up_left_and_k4_is_centred():
    assert LayerAxis(**K3S2P1, transposed=True).shift == Fraction(-1, 2)
    assert LayerAxis(kernel_size=4, stride=2, padding=1, transposed=True).shift == 0


def centre_of_mass(layer, size, position):
    """The centre of a unit impulse's response, in samples, with weights of 1. Computed by torch, without a formula."""
    nn.init.ones_(layer.weight)
    impulse = torch.zeros(1, 1, size)
    impulse[0, 0, position] = 1
    with torch.no_grad():
        response = layer(impulse)[0, 0]
    return float((response * torch.arange(len(response))).sum() / response.sum())


@pytest.mark.parametrize(
    "setting", [(3, 2, 1, 1), (4, 2, 1, 1), (5, 3, 1, 1), (3, 3, 0, 2), (2, 1, 0, 3), (7, 4, 2, 1)]
)
def test_shifts_equal_those_of_an_impulse(setting):
    """Half-pixel alignment maps sample i to (i + 1/2)*stride - 1/2; 1e-5 is the float32 rounding of a mean of ~100."""
    kernel_size, stride, padding, dilation = setting
    keywords = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
    got = centre_of_mass(nn.ConvTranspose1d(1, 1, bias=False, **keywords), 41, 20)
    assert got - ((20 + 0.5) * stride - 0.5) == pytest.approx(
        float(LayerAxis(**keywords, transposed=True).shift), abs=1e-5
    )


@pytest.mark.parametrize("setting", [(3, 2, 1, 1), (4, 2, 1, 1), (5, 3, 1, 1), (3, 3, 0, 2), (7, 4, 2, 1)])
def test_conv_shifts_equal_those_of_the_windows(setting):
    """Output i is the mean of its window: on a ramp, a convolution with mean taps returns the window's centre."""
    kernel_size, stride, padding, dilation = setting
    keywords = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
    layer = nn.Conv1d(1, 1, bias=False, **keywords)
    nn.init.constant_(layer.weight, 1 / kernel_size)
    with torch.no_grad():
        seen = float(layer(torch.arange(120.0).reshape(1, 1, -1))[0, 0, 10])
    # An aligned output 10 is `moved` outputs away from where the layer puts it; 1e-5 is float32's rounding.
    moved = (((10 + 0.5) * stride - 0.5) - seen) / stride
    assert moved == pytest.approx(float(LayerAxis(**keywords).shift), abs=1e-5)


# The bilinear layer


@pytest.mark.parametrize("factor", range(1, 65))
def test_the_bilinear_axis_enlarges_exactly_and_stays_centred(factor):
    axis = one.bilinear_axis(factor)
    assert [axis.output_size(n) for n in (1, 7, 50)] == [factor, 7 * factor, 50 * factor]
    assert axis.shift == 0


def test_the_bilinear_axis_follows_the_rule_with_ceil():
    for factor in range(1, 65):
        padding = -(-(factor - 1) // 2)
        expected = LayerAxis(2 * factor - factor % 2, factor, padding, transposed=True)
        assert one.bilinear_axis(factor) == expected


def test_kernel_2s_with_padding_half_s_is_one_pixel_too_long_for_odd_factors():
    """A common rule that is wrong for odd factors: it gives s*n + 1 pixels, and is half a pixel off."""
    wrong = {"kernel_size": 6, "stride": 3, "padding": 1}
    assert one.transposed_output_size(17, **wrong) == 3 * 17 + 1
    assert LayerAxis(**wrong, transposed=True).shift == Fraction(1, 2)


# Refusals name the cause and the allowed values; the values they propose are accepted.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: one.transposed_output_size(0, kernel_size=3), "size 0 is too small; use 1 or more"),
        (lambda: one.transposed_output_size(5, kernel_size=0), "kernel_size 0 is too small; use 1 or more"),
        (lambda: one.conv_output_size(5, kernel_size=3, stride=-2), "stride -2 is too small; use 1 or more"),
        (lambda: one.conv_output_size(5, kernel_size=3, padding=-1), "padding -1 is too small; use 0 or more"),
        (lambda: one.conv_output_size(5, kernel_size=True), "kernel_size True is not a whole number; use 1 or more"),
        (
            lambda: one.transposed_output_size(5, kernel_size=3, stride=2, output_padding=2),
            "output_padding 2 must be smaller than stride 2 or dilation 1; use 0 to 1",
        ),
        (
            lambda: one.transposed_output_size(1, kernel_size=3, padding=2),
            "nothing remains: padding 2 crops 4 of 3 samples; use padding 0 to 1",
        ),
        (
            lambda: one.transposed_output_size(1, kernel_size=2, padding=1),
            "nothing remains: padding 1 crops 2 of 2 samples; use padding 0",
        ),
        (
            lambda: one.conv_output_size(2, kernel_size=5, dilation=2, padding=1),
            "the kernel spans 9 (dilation*(kernel_size-1)+1), the padded input only 4; "
            "use an input of 7 or more, or padding 4 or more",
        ),
        (
            lambda: one.conv_output_size(2, kernel_size=9, padding=1, padding_mode="reflect"),
            "the kernel spans 9 (dilation*(kernel_size-1)+1), the padded input only 4; use an input of 7 or more",
        ),
        (
            lambda: one.conv_output_size(4, kernel_size=3, padding=4, padding_mode="reflect"),
            "padding 4 with padding_mode='reflect' is more than an input of 4 can fill; "
            "use 3 or less, or an input of 5 or more",
        ),
        (
            lambda: one.conv_output_size(9, kernel_size=5, stride=2, padding="same"),
            "padding='same' needs stride 1, not 2; for about size/2 use padding 2",
        ),
        (
            lambda: one.conv_output_size(9, kernel_size=5, padding="full"),
            "padding 'full' is unknown; use a whole number, 'same' or 'valid'",
        ),
        (
            lambda: one.conv_output_size(9, kernel_size=5, padding_mode="wrap"),
            "padding_mode 'wrap' is unknown; use one of zeros, reflect, replicate, circular",
        ),
        (
            lambda: one.output_padding_for(112, 226, **K3S2P1),
            "output_size 226 cannot come from an input of 112 with these settings; use 223 to 224",
        ),
        (
            lambda: one.transposed_output_size(2**62, kernel_size=3, stride=2),
            "the output size is too large; no axis of a tensor can be longer than 2^63 - 1",
        ),
        (lambda: one.bilinear_axis(0), "factor 0 is too small; use 1 or more"),
        (
            lambda: transposed_output_sizes((5, 0), kernel_size=3),
            "width: size 0 is too small; use 1 or more",
        ),
        (
            lambda: transposed_output_sizes((5, 7), kernel_size=3, stride=(1, 2, 3)),
            "stride has 3 numbers for 2 axes; give one number, or 2",
        ),
        (
            lambda: conv_output_sizes((5,), kernel_size=()),
            "kernel_size has 0 numbers for 1 axis; give one number",
        ),
    ],
)
def test_refusals_are_one_line_with_reason_and_remedy(call, message):
    with pytest.raises(GeometryError) as refusal:
        call()
    assert str(refusal.value) == message
    assert refusal.value.exit_status == 2


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.integers(1, 12), st.fixed_dictionaries(LEGAL | {"kernel_size": st.integers(4, 9)}))
def test_the_sizes_and_paddings_in_a_refusal_are_the_smallest_that_work(size, setting):
    span = setting["dilation"] * (setting["kernel_size"] - 1) + 1
    if our_sizes(one.conv_output_size, size, **setting) is not None:
        assert size + 2 * setting["padding"] >= span
        return
    with pytest.raises(GeometryError) as refusal:
        one.conv_output_size(size, **setting)
    numbers = [int(word) for word in refusal.value.next_step.split() if word.isdigit()]
    for proposed, name in zip(numbers, ("size", "padding"), strict=True):
        for number, works in ((proposed, True), (proposed - 1, False)):
            changed = {"size": size} | setting | {name: number}
            assert (our_sizes(one.conv_output_size, changed.pop("size"), **changed) is not None) == works
