"""The layers of `glubina.nn` under PyTorch's signatures: a table, and what makes classes of it."""

from __future__ import annotations

import inspect
from typing import Any

import glubina.tensor as gl
from glubina import nn
from glubina.torch.makers import tell_layer
from glubina.torch.nn.description import text_of
from glubina.torch.nn.layout import on_images, rank_of, spatial_of
from glubina.torch.nn.module import FACES, Module, adopt
from glubina.torch.nn.sequences import Masks, Packing, Pretrained
from glubina.torch.specification import Specification, take_options
from glubina.torch.tensor import faced

_OLD = "size_average~ reduce~ reduction='mean'"
_BATCH_NORM = "num_features eps=1e-5 momentum=0.1 affine=True track_running_stats=True"
_INSTANCE_NORM = "num_features eps=1e-5 momentum=0.1 affine=False track_running_stats=False"

SAME = {
    "Linear": "in_features out_features bias=True",
    "LazyLinear": "out_features bias=True",
    "Bilinear": "in1_features in2_features out_features bias=True",
    "Embedding": "num_embeddings embedding_dim padding_idx=None max_norm!None norm_type~ "
        "scale_grad_by_freq!False sparse!False",
    "EmbeddingBag": "num_embeddings embedding_dim max_norm!None norm_type~ "
        "scale_grad_by_freq!False mode='mean' sparse!False _weight!None include_last_offset=False "
        "padding_idx=None",
    "LayerNorm": "normalized_shape eps=1e-5 elementwise_affine=True bias=True",
    "RMSNorm": "normalized_shape eps=None elementwise_affine=True",
    "AlphaDropout": "p=0.5 inplace~",
    "Flatten": "start_dim:start_axis=1 end_dim:end_axis=-1",
    "Unflatten": "dim:axis unflattened_size",
    "ReLU": "inplace~",
    "ReLU6": "inplace~",
    "ELU": "alpha=1.0 inplace~",
    "CELU": "alpha=1.0 inplace~",
    "SELU": "inplace~",
    "LeakyReLU": "negative_slope=0.01 inplace~",
    "Hardtanh": "min_val=-1.0 max_val=1.0 inplace~",
    "Hardswish": "inplace~",
    "Hardsigmoid": "inplace~",
    "Hardshrink": "lambd=0.5",
    "Softshrink": "lambd=0.5",
    "Threshold": "threshold value inplace~",
    "GELU": "approximate='none'",
    "SiLU": "inplace~",
    "Mish": "inplace~",
    "Softplus": "beta=1.0 threshold=20.0",
    "Softsign": "",
    "Tanhshrink": "",
    "LogSigmoid": "",
    "Sigmoid": "",
    "Tanh": "",
    "GLU": "dim:axis=-1",
    "MSELoss": _OLD,
    "L1Loss": _OLD,
    "SmoothL1Loss": f"{_OLD} beta=1.0",
    "HuberLoss": "reduction='mean' delta=1.0",
    "BCELoss": f"weight=None {_OLD}",
    "BCEWithLogitsLoss": f"weight=None {_OLD} pos_weight=None",
    "KLDivLoss": f"{_OLD} log_target=False",
    "PoissonNLLLoss": "log_input=True full=False size_average~ eps=1e-8 reduce~ reduction='mean'",
    "GaussianNLLLoss": "full=False eps=1e-6 reduction='mean'",
    "HingeEmbeddingLoss": f"margin=1.0 {_OLD}",
    "MarginRankingLoss": f"margin=0.0 {_OLD}",
    "CosineEmbeddingLoss": f"margin=0.0 {_OLD}",
    "MultiMarginLoss": f"p=1 margin=1.0 weight!None {_OLD}",
    "TripletMarginLoss": f"margin=1.0 p=2.0 eps=1e-6 swap=False {_OLD}",
    "RNN": "input_size hidden_size num_layers=1 nonlinearity='tanh' bias=True batch_first=False "
        "dropout=0.0 bidirectional=False",
    **dict.fromkeys(("LSTM", "GRU"), "input_size hidden_size num_layers=1 bias=True "
        "batch_first=False dropout=0.0 bidirectional=False proj_size!0"),
    "RNNCell": "input_size hidden_size bias=True nonlinearity='tanh'",
    **dict.fromkeys(("LSTMCell", "GRUCell"), "input_size hidden_size bias=True"),
    "MultiheadAttention": "embed_dim num_heads dropout=0.0 bias=True add_bias_kv!False "
        "add_zero_attn!False kdim=None vdim=None batch_first=False",
    **dict.fromkeys(("TransformerEncoderLayer", "TransformerDecoderLayer"), "d_model nhead "
        "dim_feedforward=2048 dropout=0.1 activation='relu' layer_norm_eps=1e-5 "
        "batch_first=False norm_first=False bias=True"),
    "TransformerEncoder": "encoder_layer num_layers norm=None enable_nested_tensor~ mask_check~",
    "TransformerDecoder": "decoder_layer num_layers norm=None",
    "Transformer": "d_model=512 nhead=8 num_encoder_layers=6 num_decoder_layers=6 "
        "dim_feedforward=2048 dropout=0.1 activation='relu' custom_encoder=None "
        "custom_decoder=None layer_norm_eps=1e-5 batch_first=False norm_first=False bias=True",
    "RReLU": "lower=0.125 upper=0.3333333333333333 inplace~",
    "SoftMarginLoss": _OLD,
    "MultiLabelMarginLoss": _OLD,
    "MultiLabelSoftMarginLoss": f"weight=None {_OLD}",
    "TripletMarginWithDistanceLoss": "distance_function=None margin=1.0 swap=False "
        "reduction='mean'",
    "CTCLoss": "blank=0 reduction='mean' zero_infinity=False",
}  # fmt: skip
"""Layers whose inputs and weights lie as in PyTorch."""

_POOL = "kernel_size stride=None padding=0"
IMAGES = {
    **{f"MaxPool{n}d": f"{_POOL} dilation=1 return_indices=False ceil_mode=False"
       for n in (1, 2, 3)},
    "AvgPool1d": f"{_POOL} ceil_mode=False count_include_pad=True",
    **{f"AvgPool{n}d": f"{_POOL} ceil_mode=False count_include_pad=True divisor_override=None"
       for n in (2, 3)},
    **{f"AdaptiveAvgPool{n}d": "output_size" for n in (1, 2, 3)},
    **{f"AdaptiveMaxPool{n}d": "output_size return_indices!False" for n in (1, 2, 3)},
    **{f"BatchNorm{n}d": _BATCH_NORM for n in (1, 2, 3)},
    **{f"InstanceNorm{n}d": _INSTANCE_NORM for n in (1, 2, 3)},
    "GroupNorm": "num_groups num_channels eps=1e-5 affine=True",
    **{f"Dropout{n}d": "p=0.5 inplace~" for n in (1, 2, 3)},
    "Dropout": "p=0.5 inplace~",
    "PReLU": "num_parameters=1 init=0.25",
    **{f"{kind}Pad{n}d": "padding" for kind in ("Zero", "Reflection", "Replication", "Circular")
       for n in (1, 2, 3)},
    **{f"ConstantPad{n}d": "padding value" for n in (1, 2, 3)},
    **{f"LazyBatchNorm{n}d": _BATCH_NORM.partition(" ")[2] for n in (1, 2, 3)},
    **{f"LazyInstanceNorm{n}d": _BATCH_NORM.partition(" ")[2] for n in (1, 2, 3)},
    **{f"LPPool{n}d": "norm_type kernel_size stride=None ceil_mode=False" for n in (1, 2, 3)},
    "LocalResponseNorm": "size alpha=1e-4 beta=0.75 k=1.0",
    "ChannelShuffle": "groups",
    "PixelShuffle": "upscale_factor",
    "PixelUnshuffle": "downscale_factor",
    "Upsample": "size=None scale_factor=None mode='nearest' align_corners=None "
        "recompute_scale_factor=None",
}  # fmt: skip
"""Layers of images, which are channels first here; their weights are one number per channel."""

_ANY_RANK = ("BatchNorm", "GroupNorm", "InstanceNorm", "Lazy")


def face_of(name: str, text: str, forward: Any = None, *bases: type[Any], **fields: Any) -> Any:
    """The class of this face for a layer of `glubina.nn`, with PyTorch's signature."""
    base = getattr(nn, name)
    takes = Specification(name, text)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        dtype = take_options(kwargs)
        base.__init__(self, **takes.bind(args, kwargs))
        self._given = dict(zip(takes.order, args)) | kwargs
        if "InstanceNorm" in name and self.track_running_stats:
            self.register_buffer("num_batches_tracked", gl.zeros((), dtype="int64"))
        adopt(self)
        if dtype is not None:
            self.to(dtype)

    def same(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = faced(base.forward(self, *args, **kwargs))
        return tell_layer(name, result, args[0] if args else None)

    def extra_repr(self: Any) -> str:
        given = vars(self).get("_given")
        if given is None:  # made by a layer of glubina.nn, under its names
            names = {a.to or a.name: a.name for a in takes.arguments}
            bound = inspect.signature(base.__init__).bind(self, *_arguments(self)[0],
                                                          **_arguments(self)[1])  # fmt: skip
            given = {names.get(key, key): value for key, value in bound.arguments.items()}
        return text_of(type(self).__name__, takes, {**given, **_learned(self)})

    __init__.__signature__ = takes.signature(True)  # type: ignore[attr-defined]
    run = forward or same
    if "forward" not in fields and not any("forward" in vars(b) for b in bases):
        fields["forward"] = run
        run.__doc__ = base.forward.__doc__
    doc = f"{base.__doc__}\n\nArguments and layout are PyTorch's: {', '.join(takes.order)}."
    fields |= {"__init__": __init__, "__doc__": doc, "__module__": "glubina.torch.nn"}
    fields["extra_repr"] = extra_repr
    kind = type(name, (*bases, Module, base), fields)
    FACES[base] = kind
    return kind


def _arguments(module: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return module._arguments  # type: ignore[no-any-return]


def _learned(module: Any) -> dict[str, Any]:
    """The extents that a lazy layer has learned from its input."""
    names = ("in_features", "in_channels")
    if type(module).__name__.startswith("Lazy"):
        return {}
    return {n: v for n in names if (v := getattr(module, n, None)) is not None}


def _on_images(name: str) -> Any:
    base, rank = getattr(nn, name), rank_of(name)
    if name.startswith(_ANY_RANK):
        rank = None

    def forward(self: Any, x: Any) -> Any:
        return tell_layer(name, on_images(lambda last: base.forward(self, last), x, rank), x)

    return forward


def _max_unpool(rank: int) -> Any:
    base = getattr(nn, f"MaxUnpool{rank}d")

    def forward(self: Any, input: Any, indices: Any, output_size: Any = None) -> Any:
        size = spatial_of(output_size, rank)
        return on_images(
            lambda x, i: base.forward(self, x, i, size), input, rank, others=(indices,)
        )

    return face_of(f"MaxUnpool{rank}d", _POOL, forward)


_BASES: dict[str, tuple[type[Any], ...]] = {
    **dict.fromkeys(("RNN", "LSTM", "GRU"), (Packing,)),
    **dict.fromkeys(("Embedding", "EmbeddingBag"), (Pretrained,)),
    "Transformer": (Masks,),
}
LAYERS: dict[str, Any] = {
    **{f"MaxUnpool{n}d": _max_unpool(n) for n in (1, 2, 3)},
    **{name: face_of(name, text, None, *_BASES.get(name, ())) for name, text in SAME.items()},
    **{name: face_of(name, text, _on_images(name)) for name, text in IMAGES.items()},
}


_Upsample: Any = LAYERS["Upsample"]


class UpsamplingNearest2d(_Upsample):  # type: ignore[misc]
    """`Upsample` of images with mode 'nearest'."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor)


class UpsamplingBilinear2d(_Upsample):  # type: ignore[misc]
    """`Upsample` of images with mode 'bilinear' and align_corners=True."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "bilinear", True)


LAYERS |= {kind.__name__: kind for kind in (UpsamplingNearest2d, UpsamplingBilinear2d)}


# -- containers ----------------------------------------------------------------------------------


class Sequential(Module, nn.Sequential):
    """Modules that run one after another; see `glubina.nn.Sequential`."""

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            named = list(self.named_children())[index]
            return Sequential({str(i) if n.isdigit() else n: m for i, (n, m) in enumerate(named)})
        return nn.Sequential.__getitem__(self, index)


class ModuleList(Module, nn.ModuleList):
    """A list of modules whose parameters are found; it has no forward of its own."""

    _folds = True

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return ModuleList(list(self.children())[index])
        return nn.ModuleList.__getitem__(self, index)


class ModuleDict(Module, nn.ModuleDict):
    """Modules by name whose parameters are found; it has no forward of its own."""


class Identity(Module, nn.Identity):
    """Gives back its input; takes and forgets any arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()


class ParameterList(Module):
    """A list of parameters that are found."""

    def __init__(self, values: Any = ()) -> None:
        for value in values:
            self.append(value)

    def append(self, value: Any) -> ParameterList:
        """Add a parameter at the end."""
        setattr(self, str(len(self)), value)
        return self

    def __len__(self) -> int:
        return sum(1 for name in vars(self) if name.isdigit())

    def __getitem__(self, index: int) -> Any:
        return getattr(self, str(range(len(self))[index]))

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))


class ParameterDict(Module):
    """Parameters by name that are found."""

    def __init__(self, values: Any = None) -> None:
        for name, value in dict(values or {}).items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self, name, value)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __contains__(self, name: str) -> bool:
        return name in dict(self.named_parameters(recurse=False))

    def keys(self) -> list[str]:
        """The names."""
        return [name for name, _ in self.named_parameters(recurse=False)]

    def items(self) -> list[tuple[str, Any]]:
        """Names and parameters."""
        return list(self.named_parameters(recurse=False))

    def values(self) -> list[Any]:
        """The parameters."""
        return [value for _, value in self.items()]

    def __len__(self) -> int:
        return len(self.keys())


for _face in (Sequential, ModuleList, ModuleDict, Identity):
    FACES[getattr(nn, _face.__name__)] = _face
