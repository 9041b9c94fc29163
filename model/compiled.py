"""A trained stack as onnxruntime runs it: the same weights, several times as fast on a CPU."""

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

OPSET, IR_VERSION = 17, 9
SOME = 16  # windows of a pass: as many as stay in a core's cache
Floats = NDArray[np.float32]


class Compiled:
    """LSTM, ReLU, LSTM and a linear layer, from their weights."""

    def __init__(self, lstm_1: nn.LSTM, lstm_2: nn.LSTM, head: nn.Linear) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            _graph(lstm_1, lstm_2, head).SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
        )

    def run(self, inputs: Floats) -> Floats:
        """Map scaled inputs [batch, cycles, inputs] to outputs [batch, cycles]."""
        made = [
            self._session.run(None, {"inputs": inputs[at : at + SOME]})[0]
            for at in range(0, len(inputs), SOME)
        ]
        return made[0] if len(made) == 1 else np.concatenate(made)


def _graph(lstm_1: nn.LSTM, lstm_2: nn.LSTM, head: nn.Linear) -> onnx.ModelProto:
    """Return the layers as a graph; its LSTMs take the cycles first."""
    weights = {
        **_weights(lstm_1, "1"),
        **_weights(lstm_2, "2"),
        "w": head.weight.detach().numpy().T,
        "b": head.bias.detach().numpy(),
        "direction": np.array([1]),
        "output": np.array([2]),
    }
    nodes = [
        helper.make_node("Transpose", ["inputs"], ["by_cycle"], perm=[1, 0, 2]),
        helper.make_node(
            "LSTM", ["by_cycle", "w1", "r1", "b1"], ["y1"], hidden_size=lstm_1.hidden_size
        ),
        helper.make_node("Squeeze", ["y1", "direction"], ["hidden_1"]),
        helper.make_node("Relu", ["hidden_1"], ["rectified"]),
        helper.make_node(
            "LSTM", ["rectified", "w2", "r2", "b2"], ["y2"], hidden_size=lstm_2.hidden_size
        ),
        helper.make_node("Squeeze", ["y2", "direction"], ["hidden_2"]),
        helper.make_node("MatMul", ["hidden_2", "w"], ["summed"]),
        helper.make_node("Add", ["summed", "b"], ["shifted"]),
        helper.make_node("Squeeze", ["shifted", "output"], ["changes"]),
        helper.make_node("Transpose", ["changes"], ["outputs"], perm=[1, 0]),
    ]
    shapes: dict[str, list[str | int | None]] = {
        "inputs": ["batch", "cycles", lstm_1.input_size],
        "outputs": ["batch", "cycles"],
    }
    given, made = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    )
    kept = [numpy_helper.from_array(np.ascontiguousarray(it), n) for n, it in weights.items()]
    graph = helper.make_graph(nodes, "stack", [given], [made], kept)
    opset = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)


def _weights(lstm: nn.LSTM, number: str) -> dict[str, Floats]:
    """Return an LSTM's weights: PyTorch's gates are in, forget, cell, out; ONNX's i, o, f, c."""

    def ordered(name: str) -> Floats:
        weight: Tensor = getattr(lstm, name)
        first, forget, cell, last = weight.detach().chunk(4)
        return np.asarray(torch.cat([first, last, forget, cell])[None])

    bias = [ordered("bias_ih_l0"), ordered("bias_hh_l0")]
    return {
        f"w{number}": ordered("weight_ih_l0"),
        f"r{number}": ordered("weight_hh_l0"),
        f"b{number}": np.concatenate(bias, axis=1),
    }
