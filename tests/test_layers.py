"""The house stands: imports go down its rooms only, never up and never in a circle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "glubina"

# From the roof to the foundation; a room may import from the rooms after it.
ROOMS = (
    "cli",
    "studio",
    "recipes",
    "keras",
    "torch",
    "interop",
    "explain",
    "models",
    "nn",
    "train",
    "optim",
    "metrics",
    "data",
    "files",
    "tensor",
    "runtime",
    "codegen",
    "schedule",
    "graph",
)


def module_name(path: Path, package: Path = PACKAGE) -> str:
    """The dotted name of a source file: .../glubina/graph/node.py is glubina.graph.node."""
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_type_checking(node: ast.AST) -> bool:
    """Whether the node is an `if TYPE_CHECKING:` block, which never runs."""
    if not isinstance(node, ast.If):
        return False
    name = node.test.attr if isinstance(node.test, ast.Attribute) else getattr(node.test, "id", "")
    return name == "TYPE_CHECKING"


def imports(
    tree: ast.Module, module: str, is_package: bool, known: set[str]
) -> set[tuple[str, bool]]:
    """The modules of the package that a module imports: (name, whether at import time)."""
    found: set[tuple[str, bool]] = set()

    def add(name: str, at_import: bool) -> None:
        while name and name not in known:  # `from glubina.graph.node import Node` names an object
            name = name.rpartition(".")[0]
        if name and name != module:
            found.add((name, at_import))

    def visit(node: ast.AST, at_import: bool) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                add(alias.name, at_import)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                here = module.split(".")
                kept = len(here) - node.level + (1 if is_package else 0)
                base = ".".join([*here[:kept], *([base] if base else [])])
            for alias in node.names:
                add(f"{base}.{alias.name}", at_import)
        inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, at_import and not inside and not is_type_checking(node))

    visit(tree, True)
    return found


def read_package(package: Path = PACKAGE) -> dict[str, set[tuple[str, bool]]]:
    """Of each module of the package the modules that it imports."""
    files = {module_name(path, package): path for path in sorted(package.rglob("*.py"))}
    known = set(files)
    return {
        name: imports(
            ast.parse(path.read_text(encoding="utf-8"), str(path)),
            name,
            path.name == "__init__.py",
            known,
        )
        for name, path in files.items()
    }


def room(module: str) -> str:
    """The room of a module: glubina.graph.node is in graph; glubina itself is in none."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def upward(package: dict[str, set[tuple[str, bool]]]) -> list[str]:
    """The imports that go up the house, as lines for a person."""
    level = {name: height for height, name in enumerate(ROOMS)}
    lines = []
    for module, targets in sorted(package.items()):
        here = room(module)
        if here not in level:
            continue  # glubina/__init__.py gathers what the rooms offer
        for target, _ in sorted(targets):
            there = room(target)
            if target == "glubina" and here == ROOMS[0]:
                continue  # the roof may use what the package gives to its users
            if there not in level:
                lines.append(f"{module} imports {target}, which stands above every room")
            elif level[there] < level[here]:
                lines.append(f"{module} imports {target}: {there}/ is above {here}/")
    return lines


def circle(package: dict[str, set[tuple[str, bool]]]) -> list[str]:
    """One circle of imports that run when a module is loaded, or nothing."""
    # `from . import x` inside a package's __init__ and back is no circle of meaning: a module
    # depends on its own package only for the name, so the parent is not an edge.
    edges = {
        module: sorted(
            target
            for target, at_import in targets
            if at_import and not module.startswith(target + ".")
        )
        for module, targets in package.items()
    }
    state: dict[str, int] = {}
    path: list[str] = []

    def visit(module: str) -> list[str]:
        state[module] = 1
        path.append(module)
        for target in edges[module]:
            if state.get(target) == 1:
                return [*path[path.index(target) :], target]
            if target not in state and (found := visit(target)):
                return found
        path.pop()
        state[module] = 2
        return []

    for module in edges:
        if module not in state and (found := visit(module)):
            return found
    return []


def test_every_folder_is_a_room_of_the_house() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if any(path.glob("*.py"))}
    assert folders <= set(ROOMS), f"no room of the house: {sorted(folders - set(ROOMS))}"


def test_imports_go_down_only() -> None:
    lines = upward(read_package())
    assert not lines, "imports that go up the house:\n" + "\n".join(lines)


def test_imports_go_round_in_no_circle() -> None:
    found = circle(read_package())
    assert not found, "a circle of imports:\n  " + "\n  -> ".join(found)


@pytest.fixture
def small_house(tmp_path: Path) -> Path:
    """A package of three modules, written to be broken by a test."""
    package = tmp_path / "glubina"
    for folder in ("graph", "tensor"):
        (package / folder).mkdir(parents=True)
        (package / folder / "__init__.py").write_text("")
    (package / "__init__.py").write_text("from glubina import tensor\n")
    (package / "graph" / "node.py").write_text("import numpy\n")
    (package / "tensor" / "cell.py").write_text("from ..graph.node import Node\n")
    return package


def test_the_rule_accepts_a_sound_house(small_house: Path) -> None:
    package = read_package(small_house)
    assert package["glubina.tensor.cell"] == {("glubina.graph.node", True)}
    assert not upward(package)
    assert not circle(package)


@pytest.mark.parametrize(
    "line",
    [
        "from glubina.tensor import cell",
        "from ..tensor.cell import Cell",
        "def f():\n    import glubina.tensor.cell",
        "import glubina",
    ],
)
def test_the_rule_sees_an_import_that_goes_up(small_house: Path, line: str) -> None:
    (small_house / "graph" / "node.py").write_text(line + "\n")
    (line_found,) = upward(read_package(small_house))
    assert line_found.startswith("glubina.graph.node imports glubina")


def test_the_rule_sees_a_circle_within_a_room(small_house: Path) -> None:
    (small_house / "graph" / "shapes.py").write_text("from . import node\n")
    (small_house / "graph" / "node.py").write_text("from .shapes import f\n")
    assert set(circle(read_package(small_house))) == {"glubina.graph.node", "glubina.graph.shapes"}


def test_the_rule_lets_a_function_break_a_circle(small_house: Path) -> None:
    (small_house / "graph" / "shapes.py").write_text("def f():\n    from . import node\n")
    (small_house / "graph" / "node.py").write_text("from .shapes import f\n")
    assert not circle(read_package(small_house))
