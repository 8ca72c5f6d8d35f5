"""Networks of the literature, one family per file; `make` gives one by its name."""

from __future__ import annotations

from typing import Any

from glubina.graph.names import missing
from glubina.models import blocks
from glubina.models.alexnet import AlexNet
from glubina.models.char_lstm import CharLSTM
from glubina.models.densenet import DenseNet
from glubina.models.efficientnet import EfficientNet
from glubina.models.encoder_decoder import EncoderDecoder, UNet
from glubina.models.fractalnet import FractalNet
from glubina.models.googlenet import GoogLeNet
from glubina.models.gpt import GPT
from glubina.models.keypoints import KeypointRegressor
from glubina.models.lenet import LeNet5
from glubina.models.mlp import MLP
from glubina.models.mobilenet import MobileNet
from glubina.models.mobilenet_v2 import MobileNetV2
from glubina.models.mobilenet_v3 import MobileNetV3
from glubina.models.nin import NetworkInNetwork
from glubina.models.polynet import PolyNet
from glubina.models.registry import Entry, UnknownModelError, add, count, find, make, names, table
from glubina.models.regression import LinearRegression, LogisticRegression, SoftmaxRegression
from glubina.models.resnet import CifarResNet, ResNet
from glubina.models.resnet9 import ResNet9
from glubina.models.rir import ResNetInResNet
from glubina.models.ror import MultilevelResNet
from glubina.models.sampling import sample
from glubina.models.shufflenet import ShuffleNetV2
from glubina.models.squeezenet import SqueezeNet
from glubina.models.switch import SwitchTransformer
from glubina.models.vgg import VGG
from glubina.models.vit import VisionTransformer
from glubina.models.wavenet import WaveNet

__all__ = [
    "MLP",
    "VGG",
    "AlexNet",
    "CharLSTM",
    "CifarResNet",
    "DenseNet",
    "EfficientNet",
    "EncoderDecoder",
    "Entry",
    "FractalNet",
    "GPT",
    "GoogLeNet",
    "KeypointRegressor",
    "LeNet5",
    "LinearRegression",
    "LogisticRegression",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3",
    "MultilevelResNet",
    "NetworkInNetwork",
    "PolyNet",
    "ResNet",
    "ResNet9",
    "ResNetInResNet",
    "ShuffleNetV2",
    "SoftmaxRegression",
    "SqueezeNet",
    "SwitchTransformer",
    "UNet",
    "UnknownModelError",
    "VisionTransformer",
    "WaveNet",
    "add",
    "blocks",
    "count",
    "find",
    "make",
    "names",
    "sample",
    "table",
]


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
