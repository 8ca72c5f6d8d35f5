"""Code as courses write it runs after its imports are changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glubina.torch as torch
import glubina.torch.nn as nn
import glubina.torch.nn.functional as F
import glubina.torch.optim as optim
from glubina.torch.autograd import Variable
from glubina.torch.utils.data import DataLoader, Dataset, TensorDataset, random_split


def blobs(count: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """Two clouds of points and their labels 0 and 1."""
    torch.manual_seed(1)
    labels = torch.arange(count) % 2
    points = torch.randn(count, 2) + 4.0 * labels.unsqueeze(1).float()
    return points, labels


def test_a_perceptron_by_hand() -> None:
    x, labels = blobs()
    y = labels.float() * 2 - 1
    w, b = torch.zeros(2), torch.zeros(1)
    for _ in range(10):
        for i in range(0, 200, 5):
            if y[i] * (torch.dot(w, x[i]) + b) <= 0:
                w += y[i] * x[i]
                b += y[i]
    right = (torch.sign(x.mv(w) + b) == y).sum().item()
    assert right >= 190


def test_linear_regression_with_updates_by_hand() -> None:
    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 50).view(-1, 1)
    y = 3 * x - 2 + 0.01 * torch.randn(x.size())
    w = torch.randn(1, 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    for _ in range(200):
        loss = ((x.mm(w) + b - y) ** 2).mean()
        loss.backward()
        w.data.add_(-0.2 * w.grad.data)
        b.data -= 0.2 * b.grad.data
        w.grad.zero_()
        b.grad.data.zero_()
    assert abs(w.item() - 3) < 0.05
    assert abs(b.item() + 2) < 0.05


def test_logistic_regression_under_no_grad() -> None:
    x, labels = blobs()
    target = labels.float().unsqueeze(1)
    w = (0.01 * torch.randn(2, 1)).requires_grad_()
    b = torch.zeros(1, requires_grad=True)
    for _ in range(50):
        loss = F.binary_cross_entropy(torch.sigmoid(x @ w + b), target)
        loss.backward()
        with torch.no_grad():
            w -= 0.5 * w.grad
            b -= 0.5 * b.grad
            w.grad.zero_()
            b.grad.zero_()
    accuracy = ((torch.sigmoid(x @ w + b) > 0.5).float() == target).float().mean()
    assert accuracy.item() > 0.95


class Digits(Dataset):
    """Images of one stroke each, at a height that is the label."""

    def __init__(self, count: int) -> None:
        rng = np.random.default_rng(0)
        self.labels = rng.integers(0, 4, count)
        images = 0.1 * rng.standard_normal((count, 1, 8, 8)).astype(np.float32)
        images[np.arange(count), 0, 2 * self.labels, :] += 1
        self.images = torch.from_numpy(images)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.images[index], int(self.labels[index])


def test_an_mlp_with_data_loader_and_validation() -> None:
    torch.manual_seed(0)
    train, valid = random_split(Digits(120), [96, 24])
    train_loader = DataLoader(train, batch_size=16, shuffle=True, num_workers=2)
    valid_loader = DataLoader(valid, batch_size=24)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(inplace=True), nn.Linear(16, 4))
    model = model.to(device)
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    losses = []
    for _ in range(4):
        model.train()
        running = 0.0
        for images, labels in train_loader:
            images, labels = images.to(device), labels.to(device)
            optimizer.zero_grad()
            outputs = model(images)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            running += loss.item() * images.size(0)
        scheduler.step()
        losses.append(running / len(train))
    assert losses[-1] < losses[0] / 2
    model.eval()
    correct = total = 0
    with torch.no_grad():
        for images, labels in valid_loader:
            _, predicted = torch.max(model(images.to(device)).data, 1)
            total += labels.size(0)
            correct += (predicted == labels).sum().item()
    assert total == 24
    assert correct >= 20


class Net(nn.Module):
    """A small convolutional network, channels first."""

    def __init__(self) -> None:
        super(Net, self).__init__()  # noqa: UP008 - as courses write it
        self.conv1 = nn.Conv2d(1, 4, kernel_size=3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 8, 3)
        self.drop = nn.Dropout2d(0.1)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.norm(self.conv1(x))), 2)
        x = self.drop(F.relu(self.conv2(x)))
        x = F.adaptive_avg_pool2d(x, (2, 1))[:, :, 0]
        x = x.view(-1, self.num_flat_features(x))
        return F.log_softmax(self.fc(x), dim=1)

    def num_flat_features(self, x: torch.Tensor) -> int:
        features = 1
        for extent in x.size()[1:]:
            features *= extent
        return features


def test_a_small_convolutional_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = Digits(64)
    x, y = data.images, torch.tensor(data.labels)
    net = Net()
    net.apply(lambda m: nn.init.kaiming_normal_(m.weight) if isinstance(m, nn.Conv2d) else None)
    optimizer = optim.Adam(net.parameters(), lr=0.03)
    first = None
    for _ in range(12):
        optimizer.zero_grad()
        loss = F.nll_loss(net(x), y)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        first = loss.item() if first is None else first
    assert norm.item() > 0
    assert loss.item() < 0.7 * first
    net.eval()
    path = tmp_path / "net.safetensors"
    torch.save(net.state_dict(), path)
    other = Net()
    other.load_state_dict(torch.load(path))
    other.eval()
    assert torch.equal(other(x), net(x))
    assert net.state_dict()["conv2.weight"].size() == torch.Size([8, 4, 3, 3])


class Classifier(nn.Module):
    """Embedding, LSTM, last state."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 6)
        self.lstm = nn.LSTM(6, 8, batch_first=True)
        self.fc = nn.Linear(8, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        output, (hidden, _) = self.lstm(self.embedding(tokens))
        assert output.size() == (tokens.size(0), tokens.size(1), 8)
        return self.fc(hidden[-1])


def test_an_lstm_classifier() -> None:
    torch.manual_seed(0)
    tokens = torch.randint(0, 10, (32, 5))
    labels = (tokens[:, -1] >= 5).long()
    model = Classifier()
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(15):
        loss = F.cross_entropy(model(tokens), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < losses[0] / 2


def test_autograd_as_tutorials_show_it() -> None:
    x = torch.ones(2, 2, requires_grad=True)
    y = x + 2
    z = y * y * 3
    assert y.grad_fn is not None
    assert x.grad_fn is None
    assert x.is_leaf
    z.mean().backward()
    assert x.grad.tolist() == [[4.5, 4.5], [4.5, 4.5]]
    v = Variable(torch.Tensor([2.0]), requires_grad=True)
    (first,) = torch.autograd.grad(v**3, v, create_graph=True)
    (second,) = torch.autograd.grad(first, v)
    assert (first.item(), second.item()) == (12.0, 12.0)
    with torch.no_grad():
        assert not (x * 2).requires_grad
    assert not x.detach().requires_grad
    out = x.sum() * 2
    out.backward(retain_graph=True)
    out.backward()
    assert x.grad.tolist() == [[8.5, 8.5], [8.5, 8.5]]
    vector = x.view(-1) * 2
    vector.backward(torch.tensor([1.0, 0.1, 0.0, 0.0]))
    np.testing.assert_allclose(x.grad.numpy(), [[10.5, 8.7], [8.5, 8.5]], rtol=1e-6)


def test_kept_gradients_and_hooks() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    h = x * 3
    h.retain_grad()
    seen = []
    h.register_hook(lambda g: seen.append(g.tolist()))
    handle = x.register_hook(lambda g: g * 2)
    (h**2).sum().backward()
    assert h.grad.tolist() == [6.0, 12.0]
    assert seen == [[6.0, 12.0]]
    assert x.grad.tolist() == [36.0, 72.0]
    handle.remove()
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


class Clamped(torch.autograd.Function):
    """ReLU with a backward written by hand."""

    @staticmethod
    def forward(ctx, input):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(input)
        return input.clamp(min=0)

    @staticmethod
    def backward(ctx, grad_output):  # type: ignore[no-untyped-def]
        (input,) = ctx.saved_tensors
        grad_input = grad_output.clone()
        return torch.where(input < 0, torch.zeros_like(grad_input), grad_input)


def test_a_function_with_its_own_backward() -> None:
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    y = Clamped.apply(x)
    (y * torch.tensor([3.0, 4.0])).sum().backward()
    assert y.tolist() == [0.0, 2.0]
    assert x.grad.tolist() == [0.0, 4.0]


def test_modules_with_parameters_buffers_and_hooks_of_their_own() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))
            self.register_buffer("shift", torch.tensor([1.0, 2.0, 3.0]))
            self.steps = nn.ModuleList([nn.Linear(3, 3) for _ in range(2)])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for step in self.steps:
                x = torch.tanh(step(x))
            return x * self.weight + self.shift

    model = Scale()
    assert list(model.state_dict()) == [
        *("weight", "shift", "steps.0.weight", "steps.0.bias", "steps.1.weight", "steps.1.bias")
    ]
    shapes = []
    handle = model.steps[0].register_forward_hook(lambda m, i, o: shapes.append(o.shape))
    out = model(torch.zeros(4, 3))
    assert shapes == [torch.Size([4, 3])]
    assert out.shape == (4, 3)
    handle.remove()
    model.steps[1].register_forward_hook(lambda m, i, o: torch.zeros_like(o))
    assert model(torch.randn(1, 3)).tolist() == [[1.0, 2.0, 3.0]]
    assert len(shapes) == 1
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 27
    for name, parameter in model.named_parameters():
        parameter.requires_grad = not name.startswith("steps.0")
    model(torch.randn(2, 3)).sum().backward()
    assert model.steps[0].weight.grad is None
    assert all(isinstance(p, nn.Parameter) for p in model.parameters())


def test_the_verbs_of_glubina_work_on_these_modules_too() -> None:
    torch.manual_seed(0)
    data = Digits(64)
    net = Net()
    net.compile(optimizer="adam", loss=nn.NLLLoss())
    history = net.fit(data.images.numpy(), data.labels, batch_size=32, epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2


@pytest.mark.parametrize("shuffle", [False, True])
def test_loaders_give_what_pytorch_gives(shuffle: bool) -> None:
    x, y = torch.arange(10).float().view(10, 1), torch.arange(10)
    loader = DataLoader(TensorDataset(x, y), batch_size=4, shuffle=shuffle, drop_last=False)
    batches = list(loader)
    assert len(loader) == len(batches) == 3
    assert [b[0].shape for b in batches] == [(4, 1), (4, 1), (2, 1)]
    seen = torch.cat([labels for _, labels in batches])
    assert sorted(seen.tolist()) == list(range(10))
    assert (seen.tolist() == list(range(10))) != shuffle
    again = torch.cat([labels for _, labels in loader])
    assert (again.tolist() != seen.tolist()) == shuffle


def test_what_programs_say_about_memory_and_steps() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()).to(memory_format=torch.channels_last)
    assert net(torch.ones(1, 1, 5, 5)).shape == (1, 2, 3, 3)
    lstm = nn.LSTM(2, 3)
    lstm.flatten_parameters()
    assert torch.spmm(torch.eye(2), torch.ones(2, 3)).tolist() == [[1] * 3] * 2


def test_gradients_of_each_example() -> None:
    from glubina.torch.func import functional_call, grad, vmap

    net = nn.Linear(3, 1)
    parameters = dict(net.named_parameters())
    x, y = torch.randn(5, 3), torch.randn(5, 1)

    def loss(values: Any, one: Any, aim: Any) -> Any:
        return ((functional_call(net, values, (one.unsqueeze(0),)).squeeze(0) - aim) ** 2).mean()

    found = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, x, y)
    error = 2 * (net(x) - y)
    np.testing.assert_allclose(
        found["weight"].numpy(), (error * x).unsqueeze(1).detach().numpy(), rtol=1e-5
    )
    np.testing.assert_allclose(found["bias"].numpy(), error.detach().numpy(), rtol=1e-5)
