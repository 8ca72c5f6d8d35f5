"""PyTorch's signatures of the functions of `torch.nn.functional`; see `Specification`."""

from __future__ import annotations

_OLD = "size_average~ reduce~ reduction='mean'"
SAME = {
    "relu": "input:x inplace~",
    "relu6": "input:x inplace~",
    "elu": "input:x alpha=1.0 inplace~",
    "celu": "input:x alpha=1.0 inplace~",
    "selu": "input:x inplace~",
    "leaky_relu": "input:x negative_slope=0.01 inplace~",
    "hardtanh": "input:x min_val=-1.0 max_val=1.0 inplace~",
    "hardswish": "input:x inplace~",
    "hardsigmoid": "input:x inplace~",
    "hardshrink": "input:x lambd=0.5",
    "softshrink": "input:x lambd=0.5",
    "threshold": "input:x threshold value inplace~",
    "softplus": "input:x beta=1.0 threshold=20.0",
    "softsign": "input:x",
    "tanhshrink": "input:x",
    "logsigmoid": "input:x",
    "gelu": "input:x approximate='none'",
    "silu": "input:x inplace~",
    "mish": "input:x inplace~",
    "sigmoid": "input:x",
    "tanh": "input:x",
    "glu": "input:x dim:axis=-1",
    "linear": "input:x weight bias=None",
    "bilinear": "input1:a input2:b weight bias=None",
    "layer_norm": "input:x normalized_shape weight=None bias=None eps=1e-5",
    "rms_norm": "input:x normalized_shape weight=None eps=None",
    "alpha_dropout": "input:x p=0.5 training=True inplace~",
    "mse_loss": f"input:outputs target:targets {_OLD}",
    "l1_loss": f"input:outputs target:targets {_OLD}",
    "smooth_l1_loss": f"input:outputs target:targets {_OLD} beta=1.0",
    "huber_loss": "input:outputs target:targets reduction='mean' delta=1.0",
    "binary_cross_entropy": f"input:probabilities target:targets weight=None {_OLD}",
    "binary_cross_entropy_with_logits":
        f"input:logits target:targets weight=None {_OLD} pos_weight=None",
    "kl_div": f"input:outputs target:targets {_OLD} log_target=False",
    "poisson_nll_loss": "input:outputs target:targets log_input=True full=False size_average~ "
        "eps=1e-8 reduce~ reduction='mean'",
    "gaussian_nll_loss": "input:outputs target:targets var:variance full=False eps=1e-6 "
        "reduction='mean'",
    "hinge_embedding_loss": "input:distances target:targets margin=1.0 size_average~ reduce~ "
        "reduction='mean'",
    "margin_ranking_loss": "input1:first input2:second target:targets margin=0.0 size_average~ "
        "reduce~ reduction='mean'",
    "multi_margin_loss": "input:logits target:targets p=1 margin=1.0 weight!None size_average~ "
        "reduce~ reduction='mean'",
    "triplet_margin_loss": "anchor positive negative margin=1.0 p=2.0 eps=1e-6 swap=False "
        "size_average~ reduce~ reduction='mean'",
    "embedding_bag": "input:x weight offsets=None max_norm!None norm_type~ "
        "scale_grad_by_freq!False mode='mean' sparse!False per_sample_weights=None "
        "include_last_offset=False padding_idx=None",
    "soft_margin_loss": f"input:outputs target:targets {_OLD}",
    "multilabel_margin_loss": f"input:outputs target:targets {_OLD}",
    "multilabel_soft_margin_loss": f"input:outputs target:targets weight=None {_OLD}",
    "triplet_margin_with_distance_loss": "anchor positive negative distance_function=None "
        "margin=1.0 swap=False reduction='mean'",
    "ctc_loss": "log_probs targets input_lengths target_lengths blank=0 reduction='mean' "
        "zero_infinity=False",
    "rrelu": "input:x lower=0.125 upper=0.3333333333333333 training=False inplace~",
    "cosine_similarity": "x1:a x2:b dim:axis=1 eps=1e-8",
}  # fmt: skip
"""Functions whose inputs lie as in PyTorch."""

_POOL = "input kernel_size stride=None padding=0"
IMAGES = {
    **{f"max_pool{n}d": f"{_POOL} dilation=1 ceil_mode=False return_indices=False"
       for n in (1, 2, 3)},
    "avg_pool1d": f"{_POOL} ceil_mode=False count_include_pad=True",
    **{f"avg_pool{n}d": f"{_POOL} ceil_mode=False count_include_pad=True divisor_override=None"
       for n in (2, 3)},
    **{f"adaptive_avg_pool{n}d": "input output_size" for n in (1, 2, 3)},
    **{f"adaptive_max_pool{n}d": "input output_size return_indices!False" for n in (1, 2, 3)},
    **{f"dropout{n}d": "input p=0.5 training=True inplace~" for n in (1, 2, 3)},
    **{f"lp_pool{n}d": "input norm_type kernel_size stride=None ceil_mode=False"
       for n in (1, 2, 3)},
    "local_response_norm": "input size alpha=1e-4 beta=0.75 k=1.0",
    "channel_shuffle": "input groups",
    "pixel_shuffle": "input upscale_factor",
    "pixel_unshuffle": "input downscale_factor",
    "group_norm": "input num_groups weight=None bias=None eps=1e-5",
    "instance_norm": "input running_mean=None running_var=None weight=None bias=None "
        "use_input_stats=True momentum=0.1 eps=1e-5",
    "interpolate": "input size=None scale_factor=None mode='nearest' align_corners=None "
        "recompute_scale_factor=None antialias!False",
}  # fmt: skip
"""Functions of images, which are channels first here."""
