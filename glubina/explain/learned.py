"""What a network learned: filters, feature maps, attention, saliency, decisions, confusions.

Each function returns data, named arrays, which draw themselves with `.plot(path)`.
"""

from __future__ import annotations

from glubina.explain.attribution import ActivationMaps, Saliency, class_activation, saliency
from glubina.explain.decisions import (
    Confusion,
    Confusions,
    Regions,
    decision_regions,
    most_confused,
)
from glubina.explain.inside import (
    AttentionMaps,
    FeatureMaps,
    Filters,
    attention,
    feature_maps,
    filters,
)

__all__ = [
    "ActivationMaps",
    "AttentionMaps",
    "Confusion",
    "Confusions",
    "FeatureMaps",
    "Filters",
    "Regions",
    "Saliency",
    "attention",
    "class_activation",
    "decision_regions",
    "feature_maps",
    "filters",
    "most_confused",
    "saliency",
]
