"""The work of a program in HLO text, against counts by hand."""

import pytest

from keras_ab.bench.lab.words.errors import NotMeasuredHere
from keras_ab.bench.lab.worker import hlo

HEAD = "HloModule m, entry_computation_layout={(f32[8,4]{1,0}, bf16[4,2]{1,0})->(f32[], s64[3]{0})}"


def module(*lines, before=""):
    body = "\n".join(f"  {line}" for line in lines)
    return f"{HEAD}\n\n{before}\nENTRY %main.1 (a: f32[8,4]) -> f32[8,2] {{\n{body}\n}}\n"


def flop(*lines, before=""):
    return hlo.count(module(*lines, before=before)).flop


A = "%a = f32[8,4]{1,0} parameter(0)"
B = "%b = f32[4,2]{1,0} parameter(1)"
DOT = "dot(f32[8,4]{1,0} %a, f32[4,2]{1,0} %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}"


def test_a_matrix_product_has_two_operations_for_each_multiplication():
    assert flop(A, B, f"ROOT %c = f32[8,2]{{1,0}} {DOT}") == {"float32": 2 * 8 * 4 * 2}


def test_text_without_percent_signs_and_operand_shapes_is_read_too():
    lines = (A, B, f"ROOT %c = f32[8,2]{{1,0}} {DOT}")
    bare = module(*lines).replace("%", "").replace("f32[8,4]{1,0} a, f32[4,2]{1,0} b", "a, b")
    assert hlo.count(bare).flop == {"float32": 128}


def test_a_product_in_batches_counts_each():
    assert flop(
        "%a = bf16[3,8,4]{2,1,0} parameter(0)",
        "%b = bf16[3,4,2]{2,1,0} parameter(1)",
        "ROOT %c = bf16[3,8,2]{2,1,0} dot(%a, %b), lhs_batch_dims={0}, lhs_contracting_dims={2}, "
        "rhs_batch_dims={0}, rhs_contracting_dims={1}",
    ) == {"bfloat16": 3 * 128}


def test_what_nobody_uses_is_not_counted():
    named = f'%d = f32[8,2]{{1,0}} {DOT}, metadata={{op_name="d c"}}'
    root = 'ROOT %e = f32[8,4]{1,0} negate(f32[8,4]{1,0} %a), metadata={op_name="d"}'
    assert flop(A, B, named, root) == {}


def test_products_of_integers_are_no_floating_point_operations():
    assert flop(A.replace("f32", "s32"), B.replace("f32", "s32"), f"ROOT %c = s32[8,2] {DOT}") == {}


CALLED = """
%twice.1 (a: f32[8,4], b: f32[4,2]) -> f32[8,2] {
  %a = f32[8,4]{1,0} parameter(0)
  %b = f32[4,2]{1,0} parameter(1)
  ROOT %c = f32[8,2]{1,0} dot(%a, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}
"""


def test_a_computation_counts_as_often_as_it_is_called():
    call = "f32[8,2]{1,0} call(f32[8,4]{1,0} %a, f32[4,2]{1,0} %b), to_apply=%twice.1"
    lines = (A, B, f"%c = {call}", f"%d = {call}", "ROOT %e = f32[8,2] add(%c, %d)")
    assert flop(*lines, before=CALLED) == {"float32": 2 * 128}


@pytest.mark.parametrize(
    "loop",
    [
        "while(%t), condition=%small.1, body=%twice.1",
        "conditional(%t, %a, %b), true_computation=%twice.1, false_computation=%small.1",
        "conditional(%t, %a, %b), branch_computations={%small.1, %twice.1}",
    ],
)
def test_a_product_in_a_loop_or_a_branch_is_refused(loop):
    small = "%small.1 (a: pred[]) -> pred[] {\n  ROOT %a = pred[] parameter(0)\n}\n"
    lines = (A, B, "%t = (f32[], /*index=1*/f32[4,2]) tuple(%a, %b)", f"ROOT %c = f32[8,2] {loop}")
    with pytest.raises(NotMeasuredHere, match="whose turns are not told"):
        flop(*lines, before=small + CALLED)
    harmless = tuple(line.replace("%twice.1", "%small.1") for line in lines)
    assert flop(*harmless, before=small + CALLED) == {}


# One convolution of a batch of 16 images 8×8, 3 channels to 4, kernel 3×3, stride 2, padded: 4×4
# places out. The same number of multiplications is in the gradients by its input and its kernel.
FORWARD = (
    "%a = f32[16,8,8,3] parameter(0)",
    "%b = f32[3,3,3,4] parameter(1)",
    "ROOT %c = f32[16,4,4,4] convolution(%a, %b), window={size=3x3 stride=2x2 pad=0_1x0_1}, "
    "dim_labels=b01f_01io->b01f",
)
BY_INPUT = (
    "%a = f32[16,4,4,4] parameter(0)",
    "%b = f32[3,3,3,4] parameter(1)",
    "ROOT %c = f32[16,8,8,3] convolution(%a, %b), window={size=3x3 pad=2_1x2_1 lhs_dilate=2x2}, "
    "dim_labels=b01f_01oi->b01f",
)
BY_KERNEL = (
    "%a = f32[16,8,8,3] parameter(0)",
    "%b = f32[16,4,4,4] parameter(1)",
    "ROOT %c = f32[3,3,3,4] convolution(%a, %b), window={size=4x4 pad=0_1x0_1 rhs_dilate=2x2}, "
    "dim_labels=f01b_i01o->01bf",
)


@pytest.mark.parametrize("lines", [FORWARD, BY_INPUT, BY_KERNEL])
def test_a_convolution_and_its_gradients_count_the_same(lines):
    # along each axis, 4 places of 3 taps, the last of which lies on the padding
    assert flop(*lines) == {"float32": 2 * 16 * (4 * 3 - 1) ** 2 * 3 * 4}


def test_taps_on_padding_multiply_nothing():
    same = (
        "%a = f32[1,28,28,1] parameter(0)",
        "%b = f32[3,3,1,1] parameter(1)",
        "ROOT %c = f32[1,28,28,1] convolution(%a, %b), window={size=3x3 pad=1_1x1_1}, "
        "dim_labels=b01f_01io->b01f",
    )
    assert flop(*same) == {"float32": 2 * (28 * 3 - 2) ** 2}


@pytest.mark.parametrize(
    "lines",
    [
        (
            "%a = f32[16,4,4,4] parameter(0)",
            "%b = f32[3,3,1,4] parameter(1)",
            "ROOT %c = f32[16,2,2,4] convolution(%a, %b), window={size=3x3}, "
            "dim_labels=b01f_01io->b01f, feature_group_count=4",
        ),
        (
            "%a = f32[16,4,4,4] parameter(0)",
            "%b = f32[16,2,2,4] parameter(1)",
            "ROOT %c = f32[3,3,1,4] convolution(%a, %b), window={size=2x2}, "
            "dim_labels=f01b_i01o->01bf, batch_group_count=4",
        ),
    ],
)
def test_a_depthwise_convolution_has_one_channel_for_each_output(lines):
    # by its kernel, the batch of the images is what is summed over: 16 of them
    assert flop(*lines) == {"float32": 2 * 16 * (2 * 2) * (3 * 3) * 4}


def test_the_least_that_moves_is_what_goes_in_and_comes_out():
    least = hlo.count(module(A, "ROOT %c = f32[8,4] negate(%a)")).least_moved_bytes
    assert least == 8 * 4 * 4 + 4 * 2 * 2 + 4 + 3 * 8


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [("pred[7]", 7), ("s4[8]", 4), ("u8[]", 1), ("c128[2,3]", 96), ("f8e4m3fn[5]", 5),
     ("token[]", 0), ("f32[<=4,2]", 32)],
)  # fmt: skip
def test_the_bytes_of_a_shape(text, nbytes):
    (shape,) = hlo.shapes(text)
    assert shape.nbytes == nbytes


def test_operations_count_what_they_make_and_names_make_nothing():
    lines = (A, "%n = f32[8,4]{1,0} negate(%a)", "%r = f32[32]{0} reshape(%n)")
    program = module(*lines, "%unused = f32[8,4]{1,0} exponential(%a)", "ROOT %p = f32[40] pad(%r)")
    assert hlo.operations(program) == {"negate": 32, "pad": 40}
