"""Blocks: the parts of several layers that networks of the literature are stacked from."""

from __future__ import annotations

from glubina.nn.blocks.attention import SqueezeExcite
from glubina.nn.blocks.convolutional import SeparableConv2d, conv_norm, norm_conv
from glubina.nn.blocks.dense import DenseBlock, DenseLayer, DenseTransition
from glubina.nn.blocks.fractal import FractalBlock
from glubina.nn.blocks.inception import Inception
from glubina.nn.blocks.mixture import SwitchFeedForward
from glubina.nn.blocks.poly import PolyBlock
from glubina.nn.blocks.residual import (
    BottleneckBlock,
    PreActivationBlock,
    PreActivationBottleneck,
    ResidualBlock,
    Shortcut,
)
from glubina.nn.blocks.two_streams import TwoStreamBlock

__all__ = [
    "BottleneckBlock",
    "DenseBlock",
    "DenseLayer",
    "DenseTransition",
    "FractalBlock",
    "Inception",
    "PolyBlock",
    "PreActivationBlock",
    "PreActivationBottleneck",
    "ResidualBlock",
    "SeparableConv2d",
    "Shortcut",
    "SqueezeExcite",
    "SwitchFeedForward",
    "TwoStreamBlock",
    "conv_norm",
    "norm_conv",
]
