"""Operators, samplers and priors of others, in the registries beside redgui's own.

    redgui app --plugin mine.py                             a file, for one start
    from redgui import plugins; plugins.add("mine.py")      the same in Python, before anything else of redgui is used
    [project.entry-points."redgui.operators"]               an installed package, always: in its pyproject.toml
    fog = "my_package:Fog"

Either way a class is as one of redgui's own files has it: a frozen dataclass of knobs under `redgui.operators.Operator`,
`redgui.samplers.Sampler` or `redgui.priors.Prior` (this one with its `card`, a `PriorCard`). It then has controls in the app,
options on the command line and a place in records. A plugin is code, and runs with all rights of whoever starts redgui.
"""

import dataclasses
import importlib
import inspect
import re
import sys
import warnings
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from redgui.errors import RedguiError, in_short

BASES = {"operators": "Operator", "samplers": "Sampler", "priors": "Prior"}  # by the registry, each in redgui.<registry>.base
TEXTS = {"operators": ("name", "label", "about"), "samplers": ("name", "label", "about", "paper"), "priors": ("name",)}

_files: dict[Path, ModuleType] = {}
_found: dict[str, tuple[type, ...] | None] = {}  # None: being looked for


class PluginError(RedguiError):
    """A plugin that cannot be read or used; the message says what to do."""


def files() -> tuple[Path, ...]:
    """The files that were added."""
    return tuple(_files)


def add(path: str | Path) -> None:
    """Runs a Python file and has its operators, samplers and priors in the registries.

    Raises:
        PluginError: there is no such file, its code fails, it holds nothing of use, or a registry has been read already.
    """
    file = Path(path).expanduser().resolve()
    if file in _files:
        return
    if _found:
        raise PluginError(f"{path}: registries are in use already; add plugins before all other use of redgui.")
    if file.suffix != ".py" or not file.is_file():
        raise PluginError(f"a plugin is a Python file; got {str(path)!r}.")
    name = f"redgui_plugin_{file.stem}"
    spec = spec_from_file_location(name, file)
    assert spec is not None  # of a .py file there is one
    assert spec.loader is not None
    if name in sys.modules:
        raise PluginError(f"{path}: another plugin file is called {file.name}; rename one.")
    module = module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for their module
    try:
        spec.loader.exec_module(module)
        if _found:
            raise PluginError("it reads a registry, or imports what does; import from redgui.knobs and the .base modules")
        if not any(_in_file(module, group) for group in BASES):
            raise PluginError("it defines no operator, sampler or prior")
    except Exception as error:
        del sys.modules[name]
        said = in_short(error) if isinstance(error, RedguiError) else f"{type(error).__name__}: {in_short(error)}"
        raise PluginError(f"the plugin {path} cannot be used: {said.rstrip('.')}.") from error
    _files[file] = module


def joined(group: str, own: tuple[Any, ...]) -> tuple[Any, ...]:
    """A registry: redgui's own classes, then those of plugins.

    Raises:
        PluginError: a class of a plugin file is not what the registry holds. One of an installed package is left out, with a
            warning: what somebody installed once must not keep redgui from starting.
    """
    return own + classes(group, own)


def classes(group: str, own: tuple[Any, ...]) -> tuple[type, ...]:
    """The classes of plugins for a registry, looked for once. Raises PluginError, as `joined` does."""
    if group in _found:
        if (found := _found[group]) is None:
            raise PluginError(f"a plugin reads the registry of {group} that it is to be part of")
        return found
    from importlib.metadata import entry_points  # 20 ms, which a plain start need not wait for

    _found[group] = None
    taken = {entry.name for entry in own}
    found = []
    try:
        for entry in entry_points(group=f"redgui.{group}"):
            try:
                found.append(_checked(entry.load(), group, taken))
            except Exception as error:
                of = f" of {entry.dist.name}" if entry.dist else ""
                warnings.warn(f"{entry.value}{of} is left out of redgui.{group}: {in_short(error)}", stacklevel=2)
        for file, module in _files.items():
            for cls in _in_file(module, group):
                try:
                    found.append(_checked(cls, group, taken))
                except RedguiError as error:
                    raise PluginError(f"{file}: {error}") from None
    except PluginError:
        del _found[group]
        raise
    _found[group] = tuple(found)
    return tuple(found)


def _base(group: str) -> type:
    return getattr(importlib.import_module(f"redgui.{group}.base"), BASES[group])


def _in_file(module: ModuleType, group: str) -> list[type]:
    """What a file defines of a kind; an abstract class is a base of its others."""
    made = (value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__)
    return [cls for cls in made if issubclass(cls, _base(group)) and not inspect.isabstract(cls)]


def _checked(cls: Any, group: str, taken: set[str]) -> type:
    """The class itself, its name now taken. Raises PluginError, or KnobError for defaults that are out of bounds."""
    base = _base(group)
    if not isinstance(cls, type) or not issubclass(cls, base) or inspect.isabstract(cls):
        raise PluginError(f"{getattr(cls, '__name__', cls)!r} is no {BASES[group]} with all its methods.")
    if not dataclasses.is_dataclass(cls) or not cls.__dataclass_params__.frozen or "__dataclass_fields__" not in vars(cls):  # type: ignore[attr-defined]
        raise PluginError(f"{cls.__name__} is no @dataclass(frozen=True, kw_only=True).")
    for text in TEXTS[group]:
        if not isinstance(getattr(cls, text, None), str):
            raise PluginError(f"{cls.__name__} has no {text}, a text of its class.")
    if not re.fullmatch("[a-z][a-z0-9-]*", cls.name):  # type: ignore[attr-defined]
        raise PluginError(f"{cls.__name__}: a name is of lower case letters, digits and hyphens; got {cls.name!r}.")  # type: ignore[attr-defined]
    if cls.name in taken:  # type: ignore[attr-defined]
        raise PluginError(f"{cls.__name__}: the name {cls.name!r} is taken; choose another one.")  # type: ignore[attr-defined]
    if group == "priors" and getattr(getattr(cls, "card", None), "name", None) != cls.name:  # type: ignore[attr-defined]
        raise PluginError(f"{cls.__name__} has no card, a PriorCard of the same name.")
    cls()  # its defaults are within its bounds
    taken.add(cls.name)  # type: ignore[attr-defined]
    return cls
