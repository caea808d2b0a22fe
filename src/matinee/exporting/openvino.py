"""OpenVINO: the ONNX graph in its own format, as it is or in int8 by NNCF's post-training quantisation."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.files import flush
from matinee.exporting.onnx import INPUTS
from matinee.exporting.quiet import import_nncf, quiet, signal_stack_kept
from matinee.inference.backends.openvino import openvino_core
from matinee.tokens import pad

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

PLAIN, MIXED, CAREFUL = "plain", "feed-forward ends in floating point", "accuracy control"

# Inputs that layers are ranked by when some have to stay in floating point.
_RANKED = 100


def read_graph(path: Path) -> Any:
    """Return an ONNX file as an OpenVINO model."""
    return openvino_core().read_model(path)


def save_graph(model: Any, path: Path) -> None:
    """Write an OpenVINO model, `.xml` with its weights in `.bin` beside it, its weights as they are.

    Raises:
        OSError: The disk did not take all of it.
    """
    import openvino as ov

    weights = path.with_suffix(".bin")
    ov.save_model(model, path, compress_to_fp16=False)
    for written in (path, weights):
        flush(written)
    if not weights.stat().st_size:  # what is left of a file that did not fit
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(weights))


def calibration_inputs(ids: Sequence[NDArray[np.int32]], pad_id: int) -> list[dict[str, NDArray[np.int64]]]:
    """Return what a graph takes, one text at a time and so without padding, whose activations nobody needs."""
    return [dict(zip(INPUTS, pad([row], pad_id), strict=True)) for row in ids]


def feed_forward_ends(model: Any) -> list[str]:
    """Return the names of the products that end the feed-forward blocks, from the inner width back to the encoder's.

    They are what int8 costs most at. MiniLM on IMDB, 300 calibration texts: of 2,000 test texts 1.25 % got another label with
    all products in int8, 0.70 % without these, and probabilities were off by 0.013 and 0.005 on average; it costs
    about a tenth of the speed. Leaving out the products within attention in their place changed little.
    """
    sizes = {node.get_friendly_name(): size for node in model.get_ordered_ops() if (size := _weight_size(node))}
    widening = {size for size in sizes.values() if size[1] > size[0]}
    return [name for name, (n_in, n_out) in sizes.items() if (n_out, n_in) in widening]


@signal_stack_kept()
def quantise(model: Any, inputs: Sequence[dict[str, NDArray[np.int64]]], kept: Sequence[str] = ()) -> Any:
    """Return the model with weights and activations in int8, their ranges taken from the inputs.

    Args:
        model: An OpenVINO model.
        inputs: Of calibration.
        kept: Names of the products that stay as they are.
    """
    nncf = import_nncf()
    with quiet():
        return nncf.quantize(
            model,
            nncf.Dataset(inputs),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=max(1, len(inputs)),
            ignored_scope=_scope(nncf, kept),
        )


@signal_stack_kept()
def quantise_carefully(
    model: Any,
    inputs: Sequence[dict[str, NDArray[np.int64]]],
    checks: Sequence[dict[str, NDArray[np.int64]]],
    agreement: Callable[[NDArray[np.float32]], float],
    most: float,
    kept: Sequence[str] = (),
) -> Any:
    """Return the model in int8 but for the layers that cost most, which stay in floating point until it is good enough.

    NNCF's accuracy control: layers are ranked by what they do to the rows and taken back one after the other.

    Args:
        model: An OpenVINO model.
        inputs: Of calibration.
        checks: Inputs that it is judged by.
        agreement: Says how good rows for `checks`, shape (n_checks, n_columns), are; higher is better, at most 1.
        most: How much agreement int8 may cost.
        kept: Names of the products that stay as they are from the beginning.
    """
    nncf = import_nncf()

    def judge(compiled: Any, items: Iterable[Any]) -> tuple[float, list[list[NDArray[np.float32]]]]:
        rows = [np.asarray(compiled(item)[0], dtype=np.float32) for item in items]
        # NNCF asks about a single input too, to learn the shape of the answer.
        score = agreement(np.concatenate(rows)) if len(rows) == len(checks) else 1.0
        return score, [[row] for row in rows]

    with quiet():
        return nncf.quantize_with_accuracy_control(
            model,
            calibration_dataset=nncf.Dataset(inputs),
            validation_dataset=nncf.Dataset(checks),
            validation_fn=judge,
            max_drop=most,
            subset_size=max(1, len(inputs)),
            model_type=nncf.ModelType.TRANSFORMER,
            ignored_scope=_scope(nncf, kept),
            # A layer that is taken back gets its first weights again, and smoothing has changed what goes into it.
            advanced_quantization_parameters=nncf.AdvancedQuantizationParameters(
                smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1)
            ),
            advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(
                ranking_subset_size=min(_RANKED, len(checks)), num_ranking_workers=1
            ),
        )


def _scope(nncf: Any, kept: Sequence[str]) -> Any:
    return nncf.IgnoredScope(names=list(kept)) if kept else None


def _weight_size(node: Any) -> tuple[int, int] | None:
    """Return how many numbers a product with a weight takes and gives; None where it is no such product."""
    if node.get_type_name() != "MatMul":
        return None
    weight, transposed = node.input_value(1).get_node(), bool(node.get_attributes()["transpose_b"])
    while weight.get_type_name() in {"Convert", "Transpose"}:
        transposed ^= weight.get_type_name() == "Transpose"
        weight = weight.input_value(0).get_node()
    shape = weight.get_output_partial_shape(0)
    if weight.get_type_name() != "Constant" or len(shape) != 2:
        return None
    n_in, n_out = shape.to_shape()
    return (n_out, n_in) if transposed else (n_in, n_out)
