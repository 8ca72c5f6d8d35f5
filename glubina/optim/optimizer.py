"""The base of the update rules: parameter groups, their settings, and what a rule remembers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from glubina.graph import Node, ShapeError, ops
from glubina.graph.names import check_arguments
from glubina.graph.ops import Formula
from glubina.optim.settings import Settings
from glubina.tensor import Tensor, tensor
from glubina.tensor.arguments import not_negative
from glubina.tensor.autograd import recent_losses
from glubina.tensor.base import consume_value
from glubina.tensor.cell import Cell
from glubina.tensor.inplace import write
from glubina.tensor.mode import mode
from glubina.tensor.realise import realise, realise_alone
from glubina.tensor.trace import guard, on_replay

Group = dict[str, Any]
Updates = list[tuple[Tensor, Node]]
"""New values: the tensor that takes it, and the node that gives it."""


# what people call settings that have another name here
RENAMED = {"learning_rate": "lr", "alpha": "lr", "l2": "weight_decay", "epsilon": "eps"}


class Optimizer:
    """An update rule over groups of parameters.

    `params` is an iterable of tensors, or of dicts with "params" and settings of their own.
    `param_groups` holds the groups with all their settings: changing a number there (a learning
    rate) counts from the next step on and never makes a new program. `state` maps each parameter
    to what the rule remembers about it.

    A rule is a subclass with `_update`. needs_closure: whether `step` works only with one, because
    the rule looks at the loss several times.
    """

    needs_closure: ClassVar[bool] = False
    _begun = False  # whether the parameters' first values have been worked out

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """TypeError for an argument that the rule does not know."""
        if kwargs:
            check_arguments(cls, kwargs, RENAMED)
        return super().__new__(cls)

    def __init__(self, params: Iterable[Any], defaults: Mapping[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.param_groups: list[Group] = []
        self.state: dict[Tensor, dict[str, Tensor]] = defaultdict(dict)
        self._settings: list[Settings] = []
        self._loaded = 0
        given = _listed(params, type(self).__name__)
        if not given:
            raise ValueError(
                f"{type(self).__name__} was given no parameters: the module has none, or a "
                "generator such as net.parameters() was used up, which can be used only once"
            )
        groups: list[Any] = given if isinstance(given[0], Mapping) else [{"params": given}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, group: Any) -> None:
        """Add parameters with settings of their own; what is not given is as for the others."""
        if not isinstance(group, Mapping) or "params" not in group:
            raise ValueError(
                "a parameter group is a dict with 'params' and settings of its own, got "
                f"{list(group) if isinstance(group, Mapping) else group!r}"
            )
        params = _listed(group["params"], type(self).__name__)
        unknown = [name for name in group if name != "params" and name not in self.defaults]
        if unknown:
            known = ", ".join(self.defaults)
            renamed = RENAMED.get(unknown[0])
            meant = f" (did you mean {renamed}?)" if renamed in self.defaults else ""
            raise ValueError(f"unknown setting {', '.join(unknown)}{meant}; there are {known}")
        known_ids = {id(p) for g in self.param_groups for p in g["params"]}
        for parameter in params:
            _check_parameter(parameter)
            if id(parameter) in known_ids:
                raise ValueError(
                    "a parameter is given to the optimizer twice, that of shape "
                    f"{parameter.shape}; each belongs to one group only"
                )
            known_ids.add(id(parameter))
        made = {**self.defaults, **group, "params": params}
        self._check(made)
        self.param_groups.append(made)
        self._settings.append(Settings(made))
        self._begun = False

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or make them zero."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if set_to_none:
                    parameter.grad = None
                elif parameter.grad is not None:
                    parameter.grad.zero_()

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Update every parameter that has a gradient.

        Values, moments, gradients and the loss are worked out together, as one program; inside
        `gl.compile` the step is only recorded. `closure` computes the loss and its gradients
        anew; its result is returned.
        """
        if closure is not None and not callable(closure):
            raise TypeError(
                f"step: closure must be a function that gives the loss, got {closure!r}"
            )
        loss = closure() if closure is not None else None
        if mode.trace is not None:
            guard(self._structure, ("structure", self))
            on_replay(self._refresh, ("numbers", self))
        elif not self._begun:
            # The first weights by themselves: then the first step is the same program as others.
            realise_alone(p._cell for p in self._parameters() if p.grad is not None)
            self._begun = True
        updates: Updates = []
        with_gradient: list[Tensor] = []
        for group, settings in zip(self.param_groups, self._settings):
            chosen = [p for p in group["params"] if p.grad is not None]
            if chosen:
                with_gradient += chosen
                try:
                    updates += self._update(group, settings, chosen)
                except (ShapeError, AttributeError):
                    _check_gradients(chosen)
                    raise
        finish(updates, with_gradient)
        return loss

    def _structure(self) -> Any:
        """What decides how the step looks, and not only its numbers."""
        switches = [list(map(bool, group.values())) for group in self.param_groups]
        trained = [[p._requires_grad for p in group["params"]] for group in self.param_groups]
        return self._loaded, switches, trained

    def _refresh(self) -> None:
        """Take over changed numbers before a recorded step runs again."""
        for settings in self._settings:
            settings.refresh()

    # -- what a rule gives ----------------------------------------------------------------------

    def _update(self, group: Group, settings: Settings, params: list[Tensor]) -> Updates:
        """The new values of the parameters and of what the rule remembers."""
        raise NotImplementedError

    def _check(self, group: Group) -> None:
        """ValueError for settings that make no sense."""
        for name in ("lr", "weight_decay", "eps", "momentum"):
            if name in group:
                not_negative(name, group[name])

    def _remembered(self, parameter: Tensor, *names: str) -> list[Tensor]:
        """Tensors of the parameter's shape that the rule remembers; zeros at first."""
        state = self.state.setdefault(parameter, {})
        for name in names:
            if name not in state:
                state[name] = tensor(np.zeros(parameter.shape, parameter.dtype))
        return [state[name] for name in names]

    # -- saving ---------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """What continuing needs: "state" by the parameter's number, "param_groups" with numbers.

        The tensors are the optimizer's own: copy them to keep them.
        """
        numbers = {id(p): i for i, p in enumerate(self._parameters())}
        groups = [
            {**group, "params": [numbers[id(p)] for p in group["params"]]}
            for group in self.param_groups
        ]
        state = {numbers[id(p)]: dict(values) for p, values in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, values: Any) -> None:
        """Take over what `state_dict` gave; ValueError, and no change, if it does not fit."""
        if not isinstance(values, Mapping) or not {"state", "param_groups"} <= set(values):
            found = list(values) if isinstance(values, Mapping) else type(values).__name__
            raise ValueError(
                f"an optimizer's state is a dict with 'state' and 'param_groups', got {found}"
            )
        groups = values["param_groups"]
        have = [len(group["params"]) for group in self.param_groups]
        come = [len(group["params"]) for group in groups]
        if have != come:
            raise ValueError(
                f"the state has groups of {come} parameters, this optimizer groups of {have}"
            )
        parameters = self._parameters()
        order = [number for group in groups for number in group["params"]]
        state: dict[Tensor, dict[str, Tensor]] = {}
        shared: dict[Any, Tensor] = {}
        for parameter, number in zip(parameters, order):
            saved = _by_number(values["state"], number)
            if saved is not None:
                state[parameter] = {k: _copied(k, v, parameter, shared) for k, v in saved.items()}
        self.state = defaultdict(dict, state)
        self._loaded += 1  # recorded steps refer to the old state
        for group, saved_group in zip(self.param_groups, groups):
            group.update({k: v for k, v in saved_group.items() if k != "params"})

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        lines = [
            f"  group {i}: {len(g['params'])} parameters, "
            + ", ".join(f"{k}={v}" for k, v in g.items() if k != "params")
            for i, g in enumerate(self.param_groups)
        ]
        return f"{type(self).__name__}(\n" + "\n".join(lines) + "\n)"


def _listed(params: Any, name: str) -> list[Any]:
    """The parameters (or groups of them) that were given."""
    if isinstance(params, Tensor):
        return [params]
    if isinstance(params, (str, Mapping)) or not isinstance(params, Iterable):
        hint = ""
        if isinstance(params, Mapping):
            hint = "; give its values()"
        elif hasattr(params, "parameters"):
            hint = ": give its parameters()"
        elif callable(params):
            hint = ": call it"
        raise TypeError(
            f"{name}: params must be tensors (net.parameters()), or dicts of them with settings, "
            f"got {type(params).__name__}{hint}"
        )
    return list(params)


def _check_parameter(parameter: Any) -> None:
    if not isinstance(parameter, Tensor):
        raise TypeError(f"an optimizer takes tensors, got {type(parameter).__name__}")
    if parameter.dtype.kind != "f":
        raise TypeError(f"an optimizer takes floating tensors, got {parameter.dtype}")
    if not parameter.is_leaf:
        raise ValueError(
            f"an optimizer takes leaf tensors, got one of shape {parameter.shape} that is the "
            "result of operations: give the tensors that it was made from, or detach() it"
        )


def _check_gradients(parameters: Sequence[Tensor]) -> None:
    """Errors for gradients by hand that are no tensors of their parameters' shapes."""
    for parameter in parameters:
        gradient: Any = parameter.grad
        if not isinstance(gradient, Tensor):
            raise TypeError(f"a gradient is a tensor or None, got {type(gradient).__name__}")
        if gradient.shape != parameter.shape:
            raise ShapeError(
                f"the gradient of a parameter of shape {parameter.shape} has the shape "
                f"{gradient.shape}; they must be equal"
            )


def _by_number(state: Mapping[Any, Any], number: int) -> Mapping[str, Any] | None:
    """JSON has text keys only, so a number may come back as text."""
    found = state.get(number, state.get(str(number)))
    return found if found is None or isinstance(found, Mapping) else None


def _copied(name: str, value: Any, parameter: Tensor, shared: dict[Any, Tensor]) -> Tensor:
    """A tensor of its own; equal counts become one, so that they are counted once again."""
    array = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.shape not in ((), parameter.shape):
        raise ValueError(
            f"the state's {name} has shape {array.shape}, its parameter {parameter.shape}"
        )
    if array.shape == () and parameter.shape != ():
        return shared.setdefault((name, array.item()), tensor(array))
    return tensor(array)


def gradient_of(parameter: Tensor) -> Node:
    """The value of a parameter's gradient."""
    assert parameter.grad is not None
    return consume_value(parameter.grad)


def slope(group: Group, settings: Settings, w: Node, g: Node, decay: bool) -> Node:
    """The gradient to go down along: its sign turned to maximise, the weight decay added."""
    if decay and group["weight_decay"]:
        share = settings.number("weight_decay", w.dtype)
        return _slope(g, w, share, settings=(group["maximize"],))
    return _slope(g, settings=(True,)) if group["maximize"] else g


@Formula
def _slope(maximize: bool, g: Node, w: Node | None = None, share: Node | None = None) -> Node:
    g = ops.negative(g) if maximize else g
    if w is None or share is None:
        return g
    return ops.add(g, ops.multiply(w, ops.broadcast(share, w.shape)))


def _written(updates: Updates) -> list[Cell]:
    """Write the new values, and let go of their graphs.

    While something here holds a graph, the memory of the old values cannot be taken over.
    """
    try:
        _write(updates)
    except KeyboardInterrupt:
        _write(updates)  # all of them or none
        raise
    cells = [target._cell for target, _ in updates]
    updates.clear()
    return cells


def _write(updates: Updates) -> None:
    for target, node in updates:
        write(target, node)


def finish(updates: Updates, with_gradient: Sequence[Tensor]) -> None:
    """Write the new values, and work out everything that the step left pending."""
    cells = _written(updates)
    if mode.trace is not None:
        return
    cells += [p.grad._cell for p in with_gradient if p.grad is not None]
    cells += recent_losses()
    realise(cells)  # and with them what else was written in place, such as running statistics
