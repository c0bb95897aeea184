"""Several ONNX models as one: they take the same inputs, and what they do alike is done once."""

from collections.abc import Sequence

import onnx
from onnx import TensorProto, compose, helper


def weighted_mean(models: Sequence[onnx.ModelProto], weights: Sequence[float], output: str) -> onnx.ModelProto:
    """Return a model whose `output` is the weighted mean of that of the others, and which has no other."""
    parts = [compose.add_prefix(model, f"m{number}_", rename_inputs=False).graph for number, model in enumerate(models)]
    mean = onnx.ModelProto()
    mean.CopyFrom(models[0])
    graph = mean.graph
    for entries in (graph.node, graph.initializer, graph.output):
        del entries[:]
    for part in parts:
        graph.node.extend(part.node)
        graph.initializer.extend(part.initializer)
    given = next(entry for entry in models[0].graph.output if entry.name == output)
    kind = given.type.tensor_type.elem_type
    for number, weight in enumerate(weights):
        graph.initializer.append(helper.make_tensor(f"weight{number}", kind, [], [weight]))
        graph.node.append(
            helper.make_node("Mul", [f"m{number}_{output}", f"weight{number}"], [f"part{number}"], name=f"Part{number}")
        )
    mean_name = "mean" if output == "probabilities" else output
    graph.node.append(
        helper.make_node("Sum", [f"part{number}" for number in range(len(weights))], [mean_name], name="Mean")
    )
    if output == "probabilities":  # the label comes first, as in other models; whoever calls this appends it
        for name, end in (("least", 0.0), ("most", 1.0)):  # a sum of shares may be 1 and a rounding error
            graph.initializer.append(helper.make_tensor(name, kind, [], [end]))
        graph.node.append(helper.make_node("Clip", [mean_name, "least", "most"], [output], name="Clip"))
        graph.output.append(helper.make_tensor_value_info("label", TensorProto.STRING, [None]))
    graph.output.append(given)
    _share(graph)
    return mean


def _share(graph: onnx.GraphProto) -> None:
    """Let equal constants, and nodes that do the same with the same values, stand once."""
    same: dict[str, str] = {}
    known: dict[bytes, str] = {}
    for entry in list(graph.initializer):
        name, entry.name = entry.name, ""
        first = known.setdefault(entry.SerializeToString(deterministic=True), name)
        entry.name = name
        if first != name:
            same[name] = first
            graph.initializer.remove(entry)
    seen: dict[bytes, list[str]] = {}
    for node in list(graph.node):
        node.input[:] = [same.get(name, name) for name in node.input]
        bare = onnx.NodeProto()
        bare.CopyFrom(node)
        bare.name, outputs = "", list(node.output)
        del bare.output[:]
        first_outputs = seen.setdefault(bare.SerializeToString(deterministic=True), outputs)
        if first_outputs is not outputs:
            same.update(zip(outputs, first_outputs, strict=True))
            graph.node.remove(node)
