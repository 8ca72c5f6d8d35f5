"""A network goes to files and comes back; what cannot is refused with the file's name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import glubina as gl
from glubina import nn
from glubina.data import Preprocessing, Standardize
from glubina.files import DamagedFileError, FileError
from glubina.nn.saving import load_model, save_model

X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def network() -> nn.Sequential:
    gl.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)
    )


def test_there_and_back(tmp_path: Path) -> None:
    model = network()
    model(gl.tensor(X))  # gives the batch normalisation statistics of its own
    steps = Preprocessing(Standardize()).fit(X)
    save_model(model, tmp_path / "m", preprocessing=steps, classes=["a", "b", "c"])
    saved = load_model(tmp_path / "m")
    assert saved.classes == ("a", "b", "c")
    assert not saved.model.training
    np.testing.assert_array_equal(saved.preprocessing.transform(X), steps.transform(X))
    expected = model.eval()(gl.tensor(X)).numpy()
    np.testing.assert_array_equal(saved.model(gl.tensor(X)).numpy(), expected)
    logits = saved.model(gl.tensor(steps.transform(X))).numpy()
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(saved.predict(X), shares, atol=1e-6)


def test_a_network_of_one_s_own_is_refused_before_a_file_is_written(tmp_path: Path) -> None:
    class Own(nn.Module):
        pass

    with pytest.raises(nn.ArchitectureError, match="Own is not a class of glubina"):
        save_model(Own(), tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    save_model(network(), tmp_path / "m")
    other = nn.Sequential(nn.Linear(4, 9))
    save_model(other, tmp_path / "other")
    (tmp_path / "m" / "model.json").write_bytes((tmp_path / "other" / "model.json").read_bytes())
    with pytest.raises(DamagedFileError, match=r"model\.safetensors: does not fit model\.json"):
        load_model(tmp_path / "m")
    with pytest.raises(FileError, match="there is no run folder"):
        load_model(tmp_path / "nothing")
