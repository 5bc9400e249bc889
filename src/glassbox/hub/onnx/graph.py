"""A graph in the making: operations by what comes out of them, weights by their canonical names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glassbox.errors import BadInput

try:
    import onnx
except ImportError as missing:
    raise BadInput("ONNX files need a package that isn't installed.", "pip install onnx") from missing

from onnx import TensorProto, helper, numpy_helper

OPERATIONS = 20  # the version of ONNX's set of operations, the first with GELU
GRAPHS = 9  # the version of the file format that belongs to it

Shape = tuple[int, ...]


class Graph:
    """Every value is known by its name, a string. What isn't named is numbered.

    weights: name -> shape of the float32 weights, whose numbers lie in another file, one behind the other.
    """

    def __init__(self, weights: Mapping[str, Shape], weights_file: str) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._known: dict[str, str] = {}
        self._weights = weights
        self._file = weights_file
        self._end = 0
        self.placed: list[str] = []
        """The weights in the order in which they have to be written."""

    def weight(self, name: str) -> str:
        """A weight of the model, which must be one of `weights`; the same name every time."""
        if name not in self._known:
            shape = self._weights[name]
            tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
            size = 4 * int(np.prod(shape))
            for key, value in (("location", self._file), ("offset", str(self._end)), ("length", str(size))):
                tensor.external_data.append(onnx.StringStringEntryProto(key=key, value=value))
            tensor.data_location = TensorProto.EXTERNAL
            self.initializers.append(tensor)
            self.placed.append(name)
            self._end += size
            self._known[name] = name
        return name

    def has(self, weight: str) -> bool:
        """Whether the model has a weight of that name."""
        return weight in self._weights

    def constant(self, value: NDArray[Any] | Sequence[int] | float) -> str:
        """Numbers that lie in the graph itself: whole ones as int64, others as float32."""
        array = np.asarray(value)
        array = array.astype(np.int64 if array.dtype.kind == "i" else bool if array.dtype.kind == "b" else np.float32)
        key = f"{array.dtype}{array.shape}{array.tobytes()!r}"
        if key not in self._known:
            self._known[key] = f"constant.{len(self._known)}"
            self.initializers.append(numpy_helper.from_array(array, self._known[key]))
        return self._known[key]

    def add(self, operation: str, *inputs: str, called: str | None = None, **attributes: Any) -> str:
        """One operation of ONNX; returns the name of what comes out."""
        name = called or f"{operation.lower()}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, list(inputs), [name], name=f"{name}/{operation}", **attributes))
        return name

    def split(self, x: str, lengths: Sequence[int]) -> list[str]:
        """Cut the last axis into pieces of those lengths."""
        names = [f"split.{len(self.nodes)}.{place}" for place in range(len(lengths))]
        node = helper.make_node("Split", [x, self.constant(lengths)], names, name=f"{names[0]}/Split", axis=-1)
        self.nodes.append(node)
        return names

    def reshape(self, x: str, *shape: str | int) -> str:
        """shape: lengths of axes, or names of values that hold one; -1 is what remains."""
        if all(isinstance(length, int) for length in shape):
            return self.add("Reshape", x, self.constant([int(length) for length in shape]))
        parts = [length if isinstance(length, str) else self.constant([length]) for length in shape]
        return self.add("Reshape", x, self.add("Concat", *parts, axis=0))

    def model(self, inputs: Mapping[str, Sequence[str]], outputs: Mapping[str, Sequence[str | int]]) -> Any:
        """The finished graph. inputs, of ids, and outputs, of float32: name -> axes."""
        graph = helper.make_graph(
            self.nodes,
            "glassbox",
            [helper.make_tensor_value_info(name, TensorProto.INT64, axes) for name, axes in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, axes) for name, axes in outputs.items()],
            self.initializers,
        )
        made = helper.make_model(graph, producer_name="glassbox", ir_version=GRAPHS)
        del made.opset_import[:]
        made.opset_import.append(helper.make_opsetid("", OPERATIONS))
        return made
