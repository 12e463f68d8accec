"""Sixteen numbers at once, for numba: `floats` (float32), `ints` (int32) and `mask` (booleans).

A kernel writes `a * b + 2.0` and LLVM makes of it what the processor has: one AVX-512 register, two of
AVX2, four of SSE or NEON. Scalars are broadcast. Fast-math is limited to what keeps NaN and infinity
alive: a splat of infinite size must fall through the tests, not crash.
"""

# ruff: noqa: ANN201 - numba infers the types of kernels from their arguments
# mypy: ignore-errors

import operator

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

LANES = 16
_FLAGS = ("contract", "nsz", "arcp")  # never nnan, ninf or reassoc
_F32, _I16, _I32, _I64 = ir.FloatType(), ir.IntType(16), ir.IntType(32), ir.IntType(64)
_FLOATS, _INTS = ir.VectorType(_F32, LANES), ir.VectorType(_I32, LANES)
_MASK = ir.VectorType(ir.IntType(1), LANES)


class Vector(types.Type):
    """A numba type of sixteen lanes."""

    def __init__(self, name, element):
        super().__init__(name)
        self.element = element


class FloatsType(Vector):
    """Sixteen float32."""


class IntsType(Vector):
    """Sixteen int32."""


class MaskType(Vector):
    """Sixteen booleans."""


floats = FloatsType("floats16", _F32)
ints = IntsType("ints16", _I32)
mask = MaskType("mask16", ir.IntType(1))


class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, ir.VectorType(kind.element, LANES))


for _kind in (FloatsType, IntsType, MaskType):
    register_model(_kind)(_VectorModel)


# --- constants and conversions ---------------------------------------------------------------------


def _constant(value):
    return ir.Constant(_FLOATS, [float(np.float32(value))] * LANES)


def _int_constant(value):
    return ir.Constant(_INTS, [value] * LANES)


def _broadcast(builder, scalar):
    kind = ir.VectorType(scalar.type, LANES)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(_I32, 0))
    return builder.shuffle_vector(
        first, ir.Constant(kind, ir.Undefined), ir.Constant(_INTS, [0] * LANES)
    )


def _as_vector(builder, kind, value):
    """A lane for every scalar: float64 (what a literal is) becomes float32, any integer int32."""
    if isinstance(kind, Vector):
        return value
    if isinstance(value.type, ir.DoubleType):
        value = builder.fptrunc(value, _F32)
    elif isinstance(value.type, ir.IntType) and value.type.width > 32:
        value = builder.trunc(value, _I32)
    return _broadcast(builder, value)


def _unary_function(builder, name, value):
    function = ir.FunctionType(_FLOATS, [_FLOATS])
    callee = cgutils.get_or_insert_function(builder.module, function, f"llvm.{name}.v16f32")
    return builder.call(callee, [value])


def _pair(left, right):
    """The vector type two operands meet in, None if they are not for us."""
    for vector, scalar in ((floats, types.Float), (ints, types.Integer), (mask, mask.__class__)):
        here = [side == vector for side in (left, right)]
        if any(here) and all(
            ours or isinstance(side, scalar) for ours, side in zip(here, (left, right), strict=True)
        ):
            return vector
    return None


# --- operators -------------------------------------------------------------------------------------


def _operator(operation, emit, result=None):
    """Teach numba `operation` on vectors; `emit(builder, kind, left, right)` writes the code."""

    @type_callable(operation)
    def type_operation(context):
        def typer(left, right):
            kind = _pair(left, right)
            return kind if kind is None or result is None else result

        return typer

    def lower(context, builder, signature, arguments):
        kind = _pair(*signature.args)
        left, right = (
            _as_vector(builder, t, a) for t, a in zip(signature.args, arguments, strict=True)
        )
        return emit(builder, kind, left, right)

    for vector, scalar in ((FloatsType, types.Float), (IntsType, types.Integer), (MaskType, None)):
        lower_builtin(operation, vector, vector)(lower)
        if scalar is not None:
            lower_builtin(operation, vector, scalar)(lower)
            lower_builtin(operation, scalar, vector)(lower)


def _arithmetic(on_floats, on_ints):
    def emit(builder, kind, left, right):
        if kind is floats:
            return getattr(builder, on_floats)(left, right, flags=_FLAGS)
        return getattr(builder, on_ints)(left, right)

    return emit


def _comparison(sign):
    def emit(builder, kind, left, right):
        if kind is floats:  # ordered: false where either is NaN
            return builder.fcmp_ordered(sign, left, right)
        return builder.icmp_signed(sign, left, right)

    return emit


_operator(operator.add, _arithmetic("fadd", "add"))
_operator(operator.sub, _arithmetic("fsub", "sub"))
_operator(operator.mul, _arithmetic("fmul", "mul"))
_operator(operator.truediv, _arithmetic("fdiv", "sdiv"))
_operator(operator.and_, _arithmetic("", "and_"))
_operator(operator.or_, _arithmetic("", "or_"))
_operator(operator.lshift, _arithmetic("", "shl"))
_operator(operator.rshift, _arithmetic("", "ashr"))
for _sign, _operation in (
    (">", operator.gt), (">=", operator.ge), ("<", operator.lt), ("<=", operator.le), ("!=", operator.ne)
):  # fmt: skip
    _operator(_operation, _comparison(_sign), result=mask)


@type_callable(operator.neg)
def _type_negative(context):
    return lambda value: floats if value == floats else None


@lower_builtin(operator.neg, FloatsType)
def _lower_negative(context, builder, signature, arguments):
    return builder.fneg(arguments[0])


# --- choosing --------------------------------------------------------------------------------------


@intrinsic
def select(typing, condition, yes, no):
    """Take `yes` where `condition` holds, `no` elsewhere; a NaN in the lane not taken does no harm."""
    kind = _pair(yes, no) or floats

    def emit(context, builder, signature, arguments):
        left, right = (
            _as_vector(builder, t, a)
            for t, a in zip(signature.args[1:], arguments[1:], strict=True)
        )
        return builder.select(arguments[0], left, right)

    return kind(condition, yes, no), emit


def _extreme(sign, description):
    def extreme(typing, left, right):
        def emit(context, builder, signature, arguments):
            a, b = (
                _as_vector(builder, t, v) for t, v in zip(signature.args, arguments, strict=True)
            )
            return builder.select(builder.fcmp_ordered(sign, a, b), a, b)

        return floats(left, right), emit

    extreme.__doc__ = description
    return intrinsic(extreme)


minimum = _extreme("<", "The smaller of two; `right` where either is NaN.")
maximum = _extreme(">", "The larger of two; `right` where either is NaN.")


@intrinsic
def any_lane(typing, condition):
    """Say whether any lane holds."""

    def emit(context, builder, signature, arguments):
        return builder.icmp_unsigned(
            "!=", builder.bitcast(arguments[0], _I16), ir.Constant(_I16, 0)
        )

    return types.boolean(mask), emit


# --- functions -------------------------------------------------------------------------------------


def _lane_function(name, description):
    def function(typing, value):
        def emit(context, builder, signature, arguments):
            return _unary_function(builder, name, arguments[0])

        return floats(floats), emit

    function.__doc__ = description
    return intrinsic(function)


sqrt = _lane_function("sqrt", "The square root.")
floor = _lane_function("floor", "The largest whole number not above.")


def _polynomial(builder, x, coefficients):
    """Horner's rule, the highest power first."""
    value = _constant(coefficients[0])
    for coefficient in coefficients[1:]:
        value = builder.fadd(
            builder.fmul(value, x, flags=_FLAGS), _constant(coefficient), flags=_FLAGS
        )
    return value


@intrinsic
def exp2(typing, x):
    """2 to the power of x, relative error 2e-7, for -126 < x < 128; a number without meaning elsewhere."""

    def emit(context, builder, signature, arguments):
        whole = _unary_function(builder, "rint", arguments[0])
        fraction = builder.fsub(arguments[0], whole)  # in [-1/2, 1/2]
        power = _polynomial(
            builder,
            fraction,
            (1.3398874e-3, 9.6184373e-3, 5.5503324e-2, 2.4022648e-1, 6.9314720e-1, 1.0),
        )
        exponent = builder.shl(builder.fptosi(whole, _INTS), _int_constant(23))
        return builder.bitcast(builder.add(builder.bitcast(power, _INTS), exponent), _FLOATS)

    return floats(floats), emit


@intrinsic
def log2(typing, x):
    """The logarithm of a positive normal number to base 2, error 2e-7."""

    def emit(context, builder, signature, arguments):
        bits, shift = builder.bitcast(arguments[0], _INTS), _int_constant(23)
        # x = m · 2^e with m in [sqrt(1/2), sqrt(2)); ln m = 2 artanh((m - 1) / (m + 1)).
        exponent = builder.ashr(builder.sub(bits, _int_constant(0x3F3504F3)), shift)
        m = builder.bitcast(builder.sub(bits, builder.shl(exponent, shift)), _FLOATS)
        z = builder.fsub(m, _constant(1))
        s = builder.fdiv(z, builder.fadd(z, _constant(2)))
        series = _polynomial(builder, builder.fmul(s, s), (2 / 9, 2 / 7, 2 / 5, 2 / 3, 2))
        log2_m = builder.fmul(builder.fmul(series, s), _constant(1.4426950408889634))
        return builder.fadd(builder.sitofp(exponent, _FLOATS), log2_m)

    return floats(floats), emit


@intrinsic
def to_int(typing, x):
    """Cut off what follows the point."""

    def emit(context, builder, signature, arguments):
        return builder.fptosi(arguments[0], _INTS)

    return ints(floats), emit


@intrinsic
def to_float(typing, x):
    """The nearest float32."""

    def emit(context, builder, signature, arguments):
        return builder.sitofp(arguments[0], _FLOATS)

    return floats(ints), emit


@intrinsic
def bits_of(typing, x):
    """The same 32 bits, read as integers."""

    def emit(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], _INTS)

    return ints(floats), emit


# --- vectors that are known beforehand -------------------------------------------------------------


def _pattern(kind, values, description):
    def pattern(typing):
        def emit(context, builder, signature, arguments):
            return ir.Constant(_FLOATS if kind is floats else _INTS, values)

        return kind(), emit

    pattern.__doc__ = description
    return intrinsic(pattern)


zeros = _pattern(floats, [0.0] * LANES, "Sixteen zeros.")
ones = _pattern(floats, [1.0] * LANES, "Sixteen ones.")
lane_numbers = _pattern(ints, list(range(LANES)), "0 to 15.")
block_x = _pattern(
    floats, [lane % 4 + 0.5 for lane in range(LANES)], "Pixel centres of a 4x4 block along x."
)
block_y = _pattern(
    floats, [lane // 4 + 0.5 for lane in range(LANES)], "Pixel centres of a 4x4 block along y."
)


# --- memory: `array` is a flat array, `at` an element's index; neither is checked -------------------


def _address(context, builder, array_type, array, at, element):
    start = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(start, [at]), element.as_pointer())


def _element(offset):
    return ir.Constant(_I32, offset)


@intrinsic
def load(typing, array, at):
    """Read sixteen float32 in a row."""

    def emit(context, builder, signature, arguments):
        return builder.load(
            _address(context, builder, signature.args[0], *arguments, _FLOATS), align=4
        )

    return floats(array, at), emit


@intrinsic
def store(typing, array, at, value):
    """Write sixteen float32 or int32 in a row."""

    def emit(context, builder, signature, arguments):
        vector = _as_vector(builder, signature.args[2], arguments[2])
        where = _address(
            context, builder, signature.args[0], arguments[0], arguments[1], vector.type
        )
        builder.store(vector, where, align=4)
        return context.get_dummy_value()

    return types.void(array, at, value), emit


@intrinsic
def broadcast(typing, array, at):
    """Read one float32 into all lanes."""

    def emit(context, builder, signature, arguments):
        return _broadcast(
            builder, builder.load(_address(context, builder, signature.args[0], *arguments, _F32))
        )

    return floats(array, at), emit


@intrinsic
def load_block(typing, array, at, stride):
    """Read a 4x4 block of a plane whose rows are `stride` apart."""

    def emit(context, builder, signature, arguments):
        quarter = ir.VectorType(_F32, 4)
        rows = []
        for row in range(4):
            start = builder.add(
                arguments[1], builder.mul(arguments[2], ir.Constant(arguments[2].type, row))
            )
            where = _address(context, builder, signature.args[0], arguments[0], start, quarter)
            rows.append(builder.load(where, align=4))
        halves = [
            builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, 8), list(range(8))))
            for a, b in (rows[:2], rows[2:])
        ]
        return builder.shuffle_vector(*halves, ir.Constant(_INTS, list(range(LANES))))

    return floats(array, at, stride), emit


@intrinsic
def store_block(typing, array, at, stride, value):
    """Write a 4x4 block of a plane whose rows are `stride` apart."""

    def emit(context, builder, signature, arguments):
        quarter, four = ir.VectorType(_F32, 4), ir.VectorType(_I32, 4)
        for row in range(4):
            start = builder.add(
                arguments[1], builder.mul(arguments[2], ir.Constant(arguments[2].type, row))
            )
            where = _address(context, builder, signature.args[0], arguments[0], start, quarter)
            lanes = ir.Constant(four, [4 * row + column for column in range(4)])
            builder.store(builder.shuffle_vector(arguments[3], arguments[3], lanes), where, align=4)
        return context.get_dummy_value()

    return types.void(array, at, stride, value), emit


def _shuffle(builder, left, right, order):
    """Lanes 0 to 15 of `left` and 16 to 31 of `right`."""
    return builder.shuffle_vector(left, right, ir.Constant(_INTS, list(order)))


def _pick(builder, vectors, wanted):
    """Lane l of the result is lane `wanted[l] % 16` of vector `wanted[l] // 16`."""
    result = vectors[0]
    for index, vector in enumerate(vectors[1:], start=1):
        order = []
        for lane, source in enumerate(wanted):
            home = source // LANES
            if home == index:
                order.append(LANES + source % LANES)
            elif (
                home < index
            ):  # the first step fetches from vector 0, later ones keep what is there
                order.append(source if index == 1 else lane)
            else:
                order.append(0)  # a later step fetches it
        result = _shuffle(builder, result, vector, order)
    return result


def _rows_of(width):
    """Make `load_rows`: sixteen rows of `width` float32 each, as `width` vectors."""

    def load_rows(typing, array, at):
        result = types.UniTuple(floats, width)

        def emit(context, builder, signature, arguments):
            start = _address(context, builder, signature.args[0], *arguments, _FLOATS)
            lines = [builder.load(builder.gep(start, [_element(i)]), align=4) for i in range(width)]
            columns = [
                _pick(builder, lines, [width * lane + column for lane in range(LANES)])
                for column in range(width)
            ]
            return context.make_tuple(builder, signature.return_type, columns)

        return result(array, at), emit

    load_rows.__doc__ = f"Read sixteen rows of {width} float32 into {width} vectors."
    return intrinsic(load_rows)


def _to_rows_of(width):
    def store_rows(typing, array, at, columns):
        def emit(context, builder, signature, arguments):
            start = _address(
                context, builder, signature.args[0], arguments[0], arguments[1], _FLOATS
            )
            vectors = cgutils.unpack_tuple(builder, arguments[2], width)
            for line in range(width):
                elements = range(LANES * line, LANES * line + LANES)
                wanted = [LANES * (e % width) + e // width for e in elements]
                row = _pick(builder, vectors, wanted)
                builder.store(row, builder.gep(start, [_element(line)]), align=4)
            return context.get_dummy_value()

        return types.void(array, at, columns), emit

    store_rows.__doc__ = f"Write {width} vectors as sixteen rows of {width} float32."
    return intrinsic(store_rows)


load_rows3, load_rows4 = _rows_of(3), _rows_of(4)
store_rows3, store_rows4 = _to_rows_of(3), _to_rows_of(4)


def _transposed(builder, rows):
    """16 x 16, in four steps that exchange neighbours at distance 1, 2, 4 and 8."""
    low = [q for k in range(4) for q in (4 * k, 16 + 4 * k, 4 * k + 1, 17 + 4 * k)]
    low_pairs = [q for k in range(4) for q in (4 * k, 4 * k + 1, 16 + 4 * k, 17 + 4 * k)]
    even = [q + 8 * k for k in range(4) for q in range(4)]
    high, high_pairs, odd = (
        [q + step for q in order] for order, step in ((low, 2), (low_pairs, 2), (even, 4))
    )
    r, t = list(rows), [None] * LANES
    for i in range(0, 16, 2):
        t[i], t[i + 1] = (_shuffle(builder, r[i], r[i + 1], order) for order in (low, high))
    for i in range(0, 16, 4):
        for j in range(2):
            r[i + 2 * j] = _shuffle(builder, t[i + j], t[i + j + 2], low_pairs)
            r[i + 2 * j + 1] = _shuffle(builder, t[i + j], t[i + j + 2], high_pairs)
    for i in (0, 1, 2, 3, 8, 9, 10, 11):
        t[i], t[i + 4] = (_shuffle(builder, r[i], r[i + 4], order) for order in (even, odd))
    for i in range(8):
        r[i], r[i + 8] = (_shuffle(builder, t[i], t[i + 8], order) for order in (even, odd))
    return r


@intrinsic
def load_columns(typing, array, at):
    """Read a 16x16 matrix, row after row, into its sixteen columns."""

    def emit(context, builder, signature, arguments):
        start = _address(context, builder, signature.args[0], *arguments, _FLOATS)
        rows = [builder.load(builder.gep(start, [_element(i)]), align=4) for i in range(LANES)]
        return context.make_tuple(builder, signature.return_type, _transposed(builder, rows))

    return types.UniTuple(floats, LANES)(array, at), emit


@intrinsic
def dot_columns(typing, columns, array, at):
    """Add up sixteen columns, each times one of sixteen float32 in a row."""

    def emit(context, builder, signature, arguments):
        vectors = cgutils.unpack_tuple(builder, arguments[0], LANES)
        start = _address(context, builder, signature.args[1], arguments[1], arguments[2], _F32)
        sums = [_constant(0), _constant(0)]  # two, so that one addition need not wait for the other
        for i, vector in enumerate(vectors):
            factor = _broadcast(builder, builder.load(builder.gep(start, [_element(i)])))
            sums[i % 2] = builder.fadd(
                sums[i % 2], builder.fmul(vector, factor, flags=_FLAGS), flags=_FLAGS
            )
        return builder.fadd(*sums, flags=_FLAGS)

    return floats(columns, array, at), emit


@intrinsic
def store_columns(typing, array, at, columns):
    """Write up to sixteen columns as a 16x16 matrix, row after row; missing ones are zero."""
    count = len(columns)

    def emit(context, builder, signature, arguments):
        start = _address(context, builder, signature.args[0], arguments[0], arguments[1], _FLOATS)
        vectors = list(cgutils.unpack_tuple(builder, arguments[2], count))
        vectors += [_constant(0)] * (LANES - count)
        for i, row in enumerate(_transposed(builder, vectors)):
            builder.store(row, builder.gep(start, [_element(i)]), align=4)
        return context.get_dummy_value()

    return types.void(array, at, columns), emit


@intrinsic
def store_bit_planes(typing, array, at, stride, value):
    """Write sixteen int16 `stride` apart: number b holds bit b of every lane, lane 0 lowest."""

    def emit(context, builder, signature, arguments):
        array_value, at_value, stride_value, vector = arguments
        for bit in range(LANES):
            hit = builder.icmp_unsigned(
                "!=", builder.and_(vector, _int_constant(1 << bit)), _int_constant(0)
            )
            step = builder.mul(stride_value, ir.Constant(stride_value.type, bit))
            where = _address(
                context, builder, signature.args[0], array_value, builder.add(at_value, step), _I16
            )
            builder.store(builder.bitcast(hit, _I16), where)
        return context.get_dummy_value()

    return types.void(array, at, stride, value), emit


@intrinsic
def store_numbers(typing, array, at, bits, first, step):
    """For each set bit l of sixteen, write first + l * step, packed; all sixteen int32 are written to."""

    def emit(context, builder, signature, arguments):
        array_value, at_value, word, first_value, step_value = arguments
        steps = builder.mul(
            ir.Constant(_INTS, list(range(LANES))), _as_vector(builder, types.int64, step_value)
        )
        numbers = builder.add(steps, _as_vector(builder, types.int64, first_value))
        wanted = builder.bitcast(builder.trunc(word, _I16), _MASK)
        function = ir.FunctionType(_INTS, [_INTS, _MASK, _INTS])
        name = "llvm.experimental.vector.compress.v16i32"
        callee = cgutils.get_or_insert_function(builder.module, function, name)
        packed = builder.call(callee, [numbers, wanted, _int_constant(0)])
        where = _address(context, builder, signature.args[0], array_value, at_value, _INTS)
        builder.store(packed, where, align=4)
        return context.get_dummy_value()

    return types.void(array, at, bits, first, step), emit
