"""What `print(model)` says of each layer: PyTorch's texts, of a layer's arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from glubina.torch.specification import Specification

Given = dict[str, Any]


def _each(value: Any, rank: int) -> Any:
    """A number for each axis, as PyTorch keeps it: 3 as (3, 3)."""
    return (value,) * rank if isinstance(value, int) else value


def _named(*names: str) -> Callable[[Given], str]:
    return lambda given: ", ".join(f"{name}={given[name]}" for name in names)


def _inplace(*names: str) -> Callable[[Given], str]:
    def text(given: Given) -> str:
        inplace = ["inplace=True"] if given["inplace"] else []
        return ", ".join([*(f"{name}={given[name]}" for name in names), *inplace])

    return text


def _start(*names: str) -> Callable[[Given], str]:
    return lambda given: ", ".join(str(given[name]) for name in names)


def _convolution(rank: int) -> Callable[[Given], str]:
    def text(given: Given) -> str:
        get = {n: _each(given.get(n, 0), rank) for n in ("kernel_size", "stride", "dilation")}
        padding = _each(given["padding"], rank)
        output_padding = _each(given.get("output_padding", 0), rank)
        start = (given["in_channels"],) if given.get("in_channels") is not None else (0,)
        parts = [
            *map(str, (*start, given["out_channels"])),
            *(f"kernel_size={get['kernel_size']}", f"stride={get['stride']}"),
            *([f"padding={padding}"] if padding != (0,) * rank else []),
            *([f"dilation={get['dilation']}"] if get["dilation"] != (1,) * rank else []),
            *([f"output_padding={output_padding}"] if output_padding != (0,) * rank else []),
            *([f"groups={given['groups']}"] if given["groups"] != 1 else []),
            *(["bias=False"] if not given["bias"] else []),
            *([f"padding_mode={m}"] if (m := given["padding_mode"]) != "zeros" else []),
        ]
        return ", ".join(parts)

    return text


def _norm(*names: str) -> Callable[[Given], str]:
    def text(given: Given) -> str:
        first = given[names[0]]
        first = (first,) if names[0] == "normalized_shape" and isinstance(first, int) else first
        return ", ".join([str(first), *(f"{n}={given[n]}" for n in names[1:])])

    return text


def _max_pool(given: Given) -> str:
    stride = given["kernel_size"] if given["stride"] is None else given["stride"]
    return (
        f"kernel_size={given['kernel_size']}, stride={stride}, padding={given['padding']}, "
        f"dilation={given['dilation']}, ceil_mode={given['ceil_mode']}"
    )


def _avg_pool(rank: int) -> Callable[[Given], str]:
    def text(given: Given) -> str:
        found = {n: given[n] for n in ("kernel_size", "stride", "padding")}
        if found["stride"] is None:
            found["stride"] = found["kernel_size"]
        if rank == 1:
            found = {name: _each(value, 1) for name, value in found.items()}
        return ", ".join(f"{name}={value}" for name, value in found.items())

    return text


def _embedding(given: Given) -> str:
    text = f"{given['num_embeddings']}, {given['embedding_dim']}"
    text += f", mode={given['mode']!r}" if "mode" in given else ""
    return text if given["padding_idx"] is None else f"{text}, padding_idx={given['padding_idx']}"


def _recurrent(given: Given) -> str:
    text = f"{given['input_size']}, {given['hidden_size']}"
    usual = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0}
    for name, value in {**usual, "bidirectional": False}.items():
        if given.get(name, value) != value:
            text += f", {name}={given[name]}"
    return text


def _cell(given: Given) -> str:
    text = f"{given['input_size']}, {given['hidden_size']}"
    text += "" if given["bias"] else ", bias=False"
    other = given.get("nonlinearity", "tanh") != "tanh"
    return text + (f", nonlinearity={given['nonlinearity']}" if other else "")


def _upsample(given: Given) -> str:
    factor = given["scale_factor"]
    factor = tuple(map(float, factor)) if isinstance(factor, tuple) else factor and float(factor)
    size = f"scale_factor={factor}" if factor is not None else f"size={given['size']}"
    return f"{size}, mode={given['mode']!r}"


def _padding(rank: int) -> Callable[[Given], str]:
    return lambda given: str(_each(given["padding"], 2 * rank))


_BATCH = _norm("num_features", "eps", "momentum", "affine", "track_running_stats")
_TEXTS: dict[str, Callable[[Given], str]] = {
    "Linear": _named("in_features", "out_features", "bias"),
    "LazyLinear": lambda given: f"in_features=0, out_features={given['out_features']}, "
    f"bias={given['bias']}",
    "Bilinear": _named("in1_features", "in2_features", "out_features", "bias"),
    **{f"{kind}{n}d": _convolution(n) for kind in ("Conv", "LazyConv", "ConvTranspose")
       for n in (1, 2, 3)},
    **{f"{kind}{n}d": _BATCH for kind in ("BatchNorm", "InstanceNorm") for n in (1, 2, 3)},
    "LayerNorm": _norm("normalized_shape", "eps", "elementwise_affine"),
    "RMSNorm": _norm("normalized_shape", "eps", "elementwise_affine"),
    "GroupNorm": lambda given: f"{given['num_groups']}, {given['num_channels']}, "
    f"eps={given['eps']}, affine={given['affine']}",
    **dict.fromkeys(("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout"),
                    lambda given: f"p={given['p']}, inplace={bool(given['inplace'])}"),
    **dict.fromkeys(("ReLU", "ReLU6", "SELU", "SiLU", "Mish"), _inplace()),
    "LeakyReLU": _inplace("negative_slope"), "ELU": _inplace("alpha"), "CELU": _inplace("alpha"),
    "Hardtanh": _inplace("min_val", "max_val"), "Threshold": _inplace("threshold", "value"),
    "GELU": lambda given: f"approximate={given['approximate']!r}",
    "Softplus": _named("beta", "threshold"), "Hardshrink": _start("lambd"),
    "Softshrink": _start("lambd"), "PReLU": _named("num_parameters"), "GLU": _named("dim"),
    **{f"MaxPool{n}d": _max_pool for n in (1, 2, 3)},
    **{f"AvgPool{n}d": _avg_pool(n) for n in (1, 2, 3)},
    **{f"Adaptive{kind}Pool{n}d": _named("output_size") for kind in ("Avg", "Max")
       for n in (1, 2, 3)},
    **{f"{kind}Pad{n}d": _padding(n) for kind in ("Zero", "Reflection", "Replication", "Circular")
       for n in (1, 2, 3)},
    **{f"ConstantPad{n}d": lambda given, n=n:  # type: ignore[misc]
       f"padding={_each(given['padding'], 2 * n)}, value={given['value']}" for n in (1, 2, 3)},
    "Flatten": _named("start_dim", "end_dim"),
    "Unflatten": _named("dim", "unflattened_size"),
    "Embedding": _embedding, "EmbeddingBag": _embedding,
    **dict.fromkeys(("RNN", "LSTM", "GRU"), _recurrent),
    **dict.fromkeys(("RNNCell", "LSTMCell", "GRUCell"), _cell),
    "Upsample": _upsample,
    "PixelShuffle": _named("upscale_factor"), "PixelUnshuffle": _named("downscale_factor"),
}  # fmt: skip


def text_of(name: str, takes: Specification, given: Given) -> str:
    """What stands between the brackets of a printed layer."""
    write = _TEXTS.get(name)
    if write is None:
        return ""
    defaults = {a.name: a.default for a in takes.arguments}
    return write({**defaults, **{n: v for n, v in given.items() if n in defaults}})


def module_text(module: Any) -> str:
    """A module and what is inside, indented; equal neighbours of a list are written once."""
    children = [(name, repr(child)) for name, child in module.named_children()]
    extra = module.extra_repr()
    name = module._get_name()
    if not children:
        lines = extra.split("\n") if extra else []
        body = extra if len(lines) < 2 else "\n  " + "\n  ".join(lines) + "\n"
        return f"{name}({body})"
    if getattr(type(module), "_folds", False):
        children = _folded(children)
    shown = [f"({key}): " + text.replace("\n", "\n  ") for key, text in children]
    return f"{name}(\n  " + "\n  ".join([*([extra] if extra else []), *shown]) + "\n)"


def _folded(children: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Runs of equal ones as `(0-5): 6 x Block(...)`."""
    runs: list[list[Any]] = []
    for place, (_, text) in enumerate(children):
        if runs and runs[-1][2] == text:
            runs[-1][1] = place
        else:
            runs.append([place, place, text])
    return [
        (str(a), text) if a == b else (f"{a}-{b}", f"{b - a + 1} x {text}") for a, b, text in runs
    ]
