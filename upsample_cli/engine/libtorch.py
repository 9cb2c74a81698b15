"""ATen's operators through the C interface of libtorch: the real layer, without the two seconds of `import torch`.

Models compiled by AOTInductor call the same functions, so torch keeps them compatible between versions. Input tensors
are handles that use the memory of numpy arrays; results are arrays that own a tensor and use its memory. Source:
torch/csrc/inductor/aoti_torch/c/shim.h and generated/c_shim_cpu.h of torch 2.10 to 2.14.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from upsample_cli.engine.exact import Dtype
from upsample_cli.engine.library import NoOperatorsError, library_path, load_library
from upsample_cli.engine.operators import Array, Layer

_Handle = ctypes.c_void_p
_THREADS = "_ZN2at15set_num_threadsEi", "_ZN2at15get_num_threadsEv"
"""The mangled names of `at::set_num_threads(int)` and `at::get_num_threads()` in the Itanium C++ ABI."""

_FUNCTIONS = {
    "create_tensor_from_blob": "pqLLqiiiP",
    "cpu_convolution": "ppPLqLqLqiLqqP",
    "cpu_bmm_out": "ppp",
    "cpu_mm_out": "ppp",
    "delete_tensor_object": "p",
    "get_data_ptr": "pP",
    "get_dim": "pQ",
    "get_sizes": "pR",
    "get_strides": "pR",
}
"""The arguments of each function `aoti_torch_...`: p pointer, q int64, i int32, L pointer to int64s. P, Q and R are
results: a pointer, an int64, and a pointer to int64s. Each function returns 0 for success."""

_TYPES: dict[str, Any] = {
    "p": _Handle,
    "q": ctypes.c_int64,
    "i": ctypes.c_int32,
    "L": ctypes.POINTER(ctypes.c_int64),
    "P": ctypes.POINTER(_Handle),
    "Q": ctypes.POINTER(ctypes.c_int64),
    "R": ctypes.POINTER(ctypes.POINTER(ctypes.c_int64)),
}


class LibTorch:
    """The operators of `operators.Operators`, from the library of the installed torch.

    Raises:
        NoOperatorsError: if the library is missing, has an unknown version, or lacks a function.
    """

    def __init__(self) -> None:
        path = library_path()
        try:
            load_library(path)
            self._library = ctypes.CDLL(str(path))
            self._functions: dict[str, Any] = {}
            for name, arguments in _FUNCTIONS.items():
                function = self._functions[name] = self._library["aoti_torch_" + name]
                function.argtypes, function.restype = [_TYPES[kind] for kind in arguments], ctypes.c_int32
            self.set_threads, self.threads = (self._library[name] for name in _THREADS)
            self._dtypes = {
                np.dtype(name): self._library[f"aoti_torch_dtype_{name}"]() for name in ("float32", "float64")
            }
        except (OSError, AttributeError) as error:
            raise NoOperatorsError(f"{path.name}: {error}") from error
        self._check()

    def _check(self) -> None:
        """Check the result of a small layer, in case a version of torch has changed the meaning of an argument."""
        taps, pixel = np.array([[[[3.0, 5.0]]]]), np.array([[[[2.0, 7.0]]]])
        try:
            made = self.layer(taps, stride=1, padding=0, groups=1)(pixel).tolist()
        except RuntimeError as error:
            raise NoOperatorsError(str(error)) from error
        if made != [[[[6.0, 31.0, 35.0]]]]:
            raise NoOperatorsError("libtorch's C interface gave other numbers than the layer")

    def call(self, function: str, *arguments: Any) -> None:
        """Call a function of `_FUNCTIONS`.

        Raises:
            RuntimeError: if the function fails.
        """
        if self._functions[function](*arguments):
            raise RuntimeError(f"{function} of libtorch failed")

    def layer(self, weight: Array, *, stride: int, padding: int, groups: int) -> Layer:
        """See `operators.Operators`."""

        def forward(image: Array) -> Array:
            return self._convolved(image, weight, None, (stride, stride), padding, groups, is_transposed=True)

        return forward

    def convolution(self, image: Array, weight: Array, bias: Array, stride: Sequence[int]) -> Array:
        """See `operators.Operators`."""
        return self._convolved(image, weight, bias, stride, 0, 1, is_transposed=False)

    def product(self, left: Array, right: Array) -> Array:
        """See `operators.Operators`."""
        made = np.empty((*left.shape[:-1], right.shape[-1]), left.dtype)
        function = "cpu_mm_out" if left.ndim == 2 else "cpu_bmm_out"
        with self._borrowed(made) as out, self._borrowed(left) as first, self._borrowed(right) as second:
            self.call(function, out, first, second)
        return made

    def _convolved(
        self, image: Array, weight: Array, bias: Array | None, stride: Sequence[int], padding: int, groups: int,
        *, is_transposed: bool,
    ) -> Array:  # fmt: skip
        made = _Handle()
        with ExitStack() as stack:
            taken, weights = (stack.enter_context(self._borrowed(array)) for array in (image, weight))
            # An optional tensor is passed as a pointer to a handle.
            biases = None if bias is None else ctypes.byref(stack.enter_context(self._borrowed(bias)))
            self.call(
                "cpu_convolution", taken, weights, biases, _int64s(stride), 2, _int64s((padding, padding)), 2,
                _int64s((1, 1)), 2, is_transposed, _int64s((0, 0)), 2, groups, ctypes.byref(made),
            )  # fmt: skip
        return np.asarray(_Owned(self, made, image.dtype))

    @contextmanager
    def _borrowed(self, array: Array) -> Iterator[_Handle]:
        """A tensor that uses the memory of an array."""
        tensor = _Handle()
        strides = [stride // array.itemsize for stride in array.strides]
        self.call(
            "create_tensor_from_blob", array.ctypes.data, array.ndim, _int64s(array.shape), _int64s(strides), 0,
            self._dtypes[array.dtype], 0, 0, ctypes.byref(tensor),
        )  # fmt: skip
        try:
            yield tensor
        finally:
            self.call("delete_tensor_object", tensor)


class _Owned:
    """A tensor with numpy's array interface. It is deleted when the last array that uses its memory is."""

    def __init__(self, library: LibTorch, tensor: _Handle, dtype: Dtype) -> None:
        self._library, self._tensor = library, tensor
        data, count = _Handle(), ctypes.c_int64()
        sizes, strides = (ctypes.POINTER(ctypes.c_int64)() for _ in range(2))
        for function, result in (
            ("get_data_ptr", data),
            ("get_dim", count),
            ("get_sizes", sizes),
            ("get_strides", strides),
        ):
            library.call(function, tensor, ctypes.byref(result))
        self.__array_interface__ = {
            "version": 3,
            "typestr": dtype.str,
            "shape": tuple(sizes[: count.value]),
            "strides": tuple(stride * dtype.itemsize for stride in strides[: count.value]),
            "data": (data.value, False),
        }

    def __del__(self) -> None:
        self._library.call("delete_tensor_object", self._tensor)


def _int64s(numbers: Sequence[int]) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * len(numbers))(*numbers)
