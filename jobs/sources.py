"""The source of a module and of all that it imports from its own package: found and read, never imported."""

from __future__ import annotations

import ast
import importlib.util
from importlib.machinery import ModuleSpec, PathFinder
from typing import AbstractSet, Dict, Iterator, List, Optional

__all__ = ["module_source", "own_sources"]


def module_source(name: str) -> Optional[str]:
    """A module's source, from a folder or a zip; None where there is no such module, or it is not Python."""
    spec = _find(name)
    return _source(spec) if spec else None


def own_sources(module: str, besides: AbstractSet[str]) -> Dict[str, str]:
    """The sources, by name, of the modules that a module imports from its own top-level package, and these in turn.

    Found are `import` and `from` statements, absolute and relative, wherever in the source they stand; packages on the
    way count, for importing runs them. Not found are imports by a computed name. `besides`: modules that neither count
    nor are followed. The module itself is not among them.
    """
    found: Dict[str, str] = {}
    looked_at = {*besides, module}
    waiting = [*_parents(module), *_imports(module)]
    while waiting:
        name = waiting.pop()
        spec = None if name in looked_at else _find(name)
        looked_at.add(name)
        source = _source(spec) if spec else None
        if source is not None:
            found[name] = source
            waiting += [*_parents(name), *_imports(name)]
    return dict(sorted(found.items()))


def _imports(module: str) -> Iterator[str]:
    """Names of the same top-level package that may be modules: of `from a import b` both `a` and `a.b`."""
    spec = _find(module)
    source = _source(spec) if spec else None
    if spec is None or source is None:
        return
    top = module.partition(".")[0]
    package = module if spec.submodule_search_locations is not None else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        for name in _names(node, package):
            if name.partition(".")[0] == top:
                yield name
                yield from _parents(name)


def _names(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parts = package.split(".")
        base = parts[: len(parts) - node.level + 1] if node.level else []
        origin = ".".join([*base, *([node.module] if node.module else [])])
        yield origin
        yield from (f"{origin}.{alias.name}" for alias in node.names)


def _parents(name: str) -> List[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _find(name: str) -> Optional[ModuleSpec]:
    """As `importlib.util.find_spec`, which imports the packages on the way."""
    top, *rest = name.split(".")
    spec = importlib.util.find_spec(top)
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(f"{spec.name}.{part}", spec.submodule_search_locations)
    return spec


def _source(spec: ModuleSpec) -> Optional[str]:
    """None for a folder without `__init__.py`, and for a module that is compiled."""
    get_source = getattr(spec.loader, "get_source", None)
    found = get_source(spec.name) if get_source else None
    return None if found is None else str(found)
