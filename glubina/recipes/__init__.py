"""Recipes: ready jobs, one file each. `find` gives one by its name."""

from __future__ import annotations

import difflib

from glubina.recipes import digits, fashion_mnist, fashion_mnist_best, fashion_mnist_inception
from glubina.recipes.recipe import Data, Recipe

RECIPES: dict[str, Recipe] = {
    module.RECIPE.name: module.RECIPE
    for module in (digits, fashion_mnist, fashion_mnist_inception, fashion_mnist_best)
}


class UnknownRecipeError(ValueError):
    """There is no recipe of this name; the message suggests near ones."""


def find(name: str) -> Recipe:
    """The recipe of a name. Raises UnknownRecipeError with suggestions."""
    known = name.lower().replace("_", "-")
    if known in RECIPES:
        return RECIPES[known]
    near = difflib.get_close_matches(known, RECIPES, n=1, cutoff=0.5)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    raise UnknownRecipeError(f"unknown recipe {name!r}.{meant} Recipes: {', '.join(RECIPES)}")


__all__ = ["RECIPES", "Data", "Recipe", "UnknownRecipeError", "find"]
