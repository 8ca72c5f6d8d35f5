"""Networks of the literature, one family per file; `make` gives one by its name."""

from __future__ import annotations

from glubina.models import blocks
from glubina.models.alexnet import AlexNet
from glubina.models.char_lstm import CharLSTM
from glubina.models.densenet import DenseNet
from glubina.models.encoder_decoder import EncoderDecoder, UNet
from glubina.models.fractalnet import FractalNet
from glubina.models.googlenet import GoogLeNet
from glubina.models.gpt import GPT
from glubina.models.keypoints import KeypointRegressor
from glubina.models.lenet import LeNet5
from glubina.models.mlp import MLP
from glubina.models.mobilenet import MobileNet
from glubina.models.nin import NetworkInNetwork
from glubina.models.polynet import PolyNet
from glubina.models.registry import Entry, UnknownModelError, add, count, find, make, names, table
from glubina.models.regression import LinearRegression, LogisticRegression, SoftmaxRegression
from glubina.models.resnet import CifarResNet, ResNet
from glubina.models.resnet9 import ResNet9
from glubina.models.rir import ResNetInResNet
from glubina.models.ror import MultilevelResNet
from glubina.models.sampling import sample
from glubina.models.switch import SwitchTransformer
from glubina.models.wavenet import WaveNet

__all__ = [
    "MLP",
    "AlexNet",
    "CharLSTM",
    "CifarResNet",
    "DenseNet",
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
    "MultilevelResNet",
    "NetworkInNetwork",
    "PolyNet",
    "ResNet",
    "ResNet9",
    "ResNetInResNet",
    "SoftmaxRegression",
    "SwitchTransformer",
    "UNet",
    "UnknownModelError",
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
