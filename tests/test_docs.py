"""The README and the documentation tell the truth: their code runs, their commands exist."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from picture_files import size_of

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


class Block(NamedTuple):
    """A fenced block of code: its language, its text, and the line of the page it begins at."""

    language: str
    text: str
    line: int


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page of Markdown."""
    found = []
    lines = text.splitlines()
    start = None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if start is None:
            start = number
        else:
            body = "\n".join(lines[start + 1 : number])
            found.append(Block(lines[start][3:].strip(), body + "\n", start + 2))
            start = None
    assert start is None, f"the block that begins in line {start} never ends"
    return found


def page_blocks(page: Path, *languages: str) -> list[Block]:
    """The blocks of a page that are in one of the languages."""
    return [b for b in blocks(page.read_text(encoding="utf-8")) if b.language in languages]


def name(page: Path) -> str:
    """A page's name in the list of tests."""
    return str(page.relative_to(ROOT))


def run_page(page: Path, found: list[Block]) -> dict[str, Any]:
    """Run a page's blocks one after the other in one namespace, as a reader would.

    A block of the language "output" shows what the block of code before it prints.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed = ""
    for block in found:
        if block.language == "output":
            compare_outputs(f"{page.name}, line {block.line}", block.text, printed)
            continue
        # The empty lines before the text make a traceback show the page's own line numbers.
        code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
        with contextlib.redirect_stdout(io.StringIO()) as stream:
            exec(code, namespace)
        printed = stream.getvalue()
    return namespace


NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(?:e[-+]\d+)?")


def compare_outputs(place: str, shown: str, printed: str) -> None:
    """The same words, and numbers that are near: other processors round in another way.

    Near is within 10 %, or within 3 units of the last digit that the page shows.
    """
    assert NUMBER.sub("#", shown).split() == NUMBER.sub("#", printed).split(), (
        f"{place}: the page shows\n{shown}\nand the code prints\n{printed}"
    )
    for old, new in zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True):
        value = float(old.replace(",", ""))
        digits = len(old.partition("e")[0].partition(".")[2])
        unit = 10.0 ** -(digits or 2) if "." in old else 0.0
        near = pytest.approx(value, rel=0.1, abs=0.0 if "e" in old else 3 * unit)
        assert float(new.replace(",", "")) == near, f"{place}: {old} on the page, printed {new}"


@pytest.mark.parametrize("page", [p for p in PAGES if page_blocks(p, "python")], ids=name)
def test_the_code_on_the_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = re.findall(r"\]\((pictures/[\w-]+\.png)\)", page.read_text(encoding="utf-8"))
    if own:
        pytest.importorskip("matplotlib")
    names = run_page(page, page_blocks(page, "python", "output"))
    if page.parent.name == "lectures" and find_spec("matplotlib"):
        monkeypatch.syspath_prepend(str(ROOT / "docs"))
        check_pictures(page, names)
    for picture in own:
        made = size_of(tmp_path / Path(picture).name)
        assert made == size_of(page.parent / picture), f"{picture} is old: make pictures"


def check_pictures(page: Path, names: dict[str, Any]) -> None:
    """The pictures of a lecture can be drawn, and show what its code computes."""
    import pictures

    for path, figure in pictures.drawn(page, names):
        old, new = pictures.saved_numbers(path), pictures.numbers(figure)
        assert old.keys() == new.keys(), f"{path.name} is old: make pictures"
        for place, values in new.items():
            scale = max(map(abs, old[place]), default=0.0)
            assert values == pytest.approx(old[place], rel=0.2, abs=0.15 * scale), (
                f"{path.name}, {place}, is old: make pictures"
            )


def test_every_lecture_has_its_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import pictures

    pages = sorted((ROOT / "docs" / "lectures").glob("*.md"))
    shown = [picture for page in pages for picture in pictures.pictures_of(page)]
    assert set(shown) == {path.stem for path in sorted(pictures.PAGES.glob("*.svg"))}


def test_every_picture_of_a_page_is_shown() -> None:
    shown = {
        name
        for page in PAGES
        for name in re.findall(r"\]\(pictures/([\w-]+\.png)\)", page.read_text(encoding="utf-8"))
    }
    assert shown == {path.name for path in (ROOT / "docs" / "pictures").glob("*")}


def test_an_output_that_is_not_true_is_noticed() -> None:
    compare_outputs("page", "loss 0.50 after 20 steps\n", "loss  0.53 after 20 steps\n")
    for printed in (
        "loss 0.60 after 20 steps",
        "gain 0.50 after 20 steps",
        "loss 0.50 after 23 st",
    ):
        with pytest.raises(AssertionError):
            compare_outputs("page", "loss 0.50 after 20 steps\n", printed)


def test_a_wrong_block_is_noticed_with_its_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A page\n\n```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n")
    with pytest.raises(AssertionError) as caught:
        run_page(page, page_blocks(page, "python"))
    assert caught.traceback[-1].lineno + 1 == 8


# --- shell commands ---


def commands() -> list[Any]:
    """Every shell command of every page, one parameter each."""
    return [
        pytest.param(line.strip(), id=f"{name(page)}: {line.strip()}")
        for page in PAGES
        for block in page_blocks(page, "sh")
        for line in block.text.splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]


@pytest.mark.parametrize("command", commands())
def test_the_command_exists(command: str) -> None:
    words = shlex.split(command, comments=True)
    while re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words.pop(0)  # a variable of the environment, as in GLUBINA_DATA=... glubina train
    check = {"make": check_make, "glubina": check_glubina, "python": check_python}
    check |= {"pip": check_pip}
    if words[0] not in ("git", "cd", "ls", "cat", "open", "."):
        check[words[0]](words[1:])


def check_make(words: list[str]) -> None:
    """`make TARGET`: the Makefile has it."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in (word for word in words if "=" not in word):
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), f"make {target}"


def check_python(words: list[str]) -> None:
    """`python -m MODULE`: it can be found; `python FILE`: it is there."""
    if words and words[0] == "-m":
        assert find_spec(words[1]), f"no module {words[1]}"
        return
    assert not words or words[0] == "-c" or (ROOT / words[0]).exists(), f"no file {words[0]}"


def check_pip(words: list[str]) -> None:
    """`pip install glubina[extra]`: pyproject.toml declares the extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert words[0] == "install"
    for extras in re.findall(r"\[(.*?)\]", " ".join(words)):
        for extra in extras.split(","):
            assert extra in project["optional-dependencies"], f"no extra {extra}"


def check_glubina(words: list[str]) -> None:
    """`glubina COMMAND --option`: the command line has both."""
    import typer

    from glubina.cli.app import app

    command: Any = typer.main.get_command(app)
    words = list(words)
    while words and hasattr(command, "commands"):
        word = words.pop(0)
        if not word.startswith("-"):
            assert word in command.commands, f"glubina has no command {word}"
            command = command.commands[word]
        elif word != "--help":
            assert word in options(command), f"glubina has no option {word}"
    for word in words:
        option = word.partition("=")[0]
        if option.startswith("-") and option != "--help":
            assert option in options(command), f"glubina {command.name} has no option {option}"


def options(command: Any) -> set[str]:
    """The options of a command."""
    return {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)}


# --- the tree, the site ---


def tree_of_the_readme() -> list[str]:
    """The folders that the README's tree shows, as paths."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (tree,) = [
        b.text for b in blocks(text) if b.language == "text" and b.text.startswith("glubina/")
    ]
    folders: list[str] = []
    for line in tree.splitlines():
        indent = len(line) - len(line.lstrip())
        entry = line.split()[0]
        folders.append(("glubina/" if indent else "") + entry)
    return folders


def test_the_readme_prints_the_tree_as_it_is() -> None:
    shown = tree_of_the_readme()
    for entry in shown:
        assert (ROOT / entry).exists(), f"the README shows {entry}, which is not there"
    rooms = {f"glubina/{path.parent.name}/" for path in (ROOT / "glubina").glob("*/__init__.py")}
    assert rooms <= set(shown), f"the README does not show {sorted(rooms - set(shown))}"


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{name(page)} links to {target}"


def test_every_page_of_the_site_is_in_its_menu() -> None:
    listed = re.findall(r"[\w/-]+\.md$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    pages = {str(page.relative_to(ROOT / "docs")) for page in PAGES if "docs" in page.parts}
    assert sorted(listed) == sorted(pages)


def test_reference_pages_name_modules_that_exist() -> None:
    for page in sorted((ROOT / "docs" / "reference").glob("*.md")):
        for module in re.findall(r"^::: ([\w.]+)", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert find_spec(module), f"{name(page)}: no module {module}"
