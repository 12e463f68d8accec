"""Raw access to flat arrays for numba kernels: no bounds, no wrap-around of negative indices, no locks."""

# ruff: noqa: ANN201 - numba infers the types of kernels from their arguments
# mypy: ignore-errors

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def _address(context, builder, array_type, array, at):
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [at])


@intrinsic
def get(typing, array, at):
    """Read one integer, widened to int64."""

    def emit(context, builder, signature, arguments):
        value = builder.load(_address(context, builder, signature.args[0], *arguments))
        return builder.sext(value, _I64) if value.type.width < 64 else value

    return types.int64(array, at), emit


@intrinsic
def put(typing, array, at, value):
    """Write one integer, cut to what the array holds."""

    def emit(context, builder, signature, arguments):
        where = _address(context, builder, signature.args[0], arguments[0], arguments[1])
        number, element = arguments[2], where.type.pointee
        if number.type.width > element.width:
            number = builder.trunc(number, element)
        elif number.type.width < element.width:
            number = builder.sext(number, element)
        builder.store(number, where)
        return context.get_dummy_value()

    return types.void(array, at, value), emit


@intrinsic
def get_float(typing, array, at):
    """Read one float32."""

    def emit(context, builder, signature, arguments):
        return builder.load(_address(context, builder, signature.args[0], *arguments))

    return types.float32(array, at), emit


@intrinsic
def put_float(typing, array, at, value):
    """Write one float32."""

    def emit(context, builder, signature, arguments):
        where = _address(context, builder, signature.args[0], arguments[0], arguments[1])
        builder.store(arguments[2], where)
        return context.get_dummy_value()

    return types.void(array, at, types.float32), emit


@intrinsic
def prefetch(typing, array, at):
    """Start to fetch the cache line of an element; any index is harmless."""

    def emit(context, builder, signature, arguments):
        pointer = builder.bitcast(
            _address(context, builder, signature.args[0], *arguments), _I8.as_pointer()
        )
        function = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
        callee = cgutils.get_or_insert_function(builder.module, function, "llvm.prefetch.p0")
        read, keep, data = ir.Constant(_I32, 0), ir.Constant(_I32, 3), ir.Constant(_I32, 1)
        builder.call(callee, [pointer, read, keep, data])
        return context.get_dummy_value()

    return types.void(array, at), emit


@intrinsic
def lowest_bit(typing, bits):
    """The position of the lowest set bit of an int64 that is not 0."""

    def emit(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), emit


@intrinsic
def count_bits(typing, bits):
    """How many bits of an int64 are set."""

    def emit(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.int64(types.int64), emit


@intrinsic
def fetch_add(typing, array, at, amount):
    """Add to an int64 in one indivisible step and return what was there; publishes earlier writes."""

    def emit(context, builder, signature, arguments):
        where = _address(context, builder, signature.args[0], arguments[0], arguments[1])
        return builder.atomic_rmw("add", where, arguments[2], "acq_rel")

    return types.int64(array, at, types.int64), emit


@intrinsic
def get_shared(typing, array, at):
    """Read an int64 that other threads change; what they wrote before is seen after."""

    def emit(context, builder, signature, arguments):
        where = _address(context, builder, signature.args[0], *arguments)
        return builder.load_atomic(where, "acquire", 8)

    return types.int64(array, at), emit


@intrinsic
def call(typing, address):
    """Call a C function without arguments; what it returns is ignored."""

    def emit(context, builder, signature, arguments):
        function = ir.FunctionType(_I32, []).as_pointer()
        builder.call(builder.inttoptr(arguments[0], function), [])
        return context.get_dummy_value()

    return types.void(types.int64), emit
