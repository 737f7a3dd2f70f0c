"""The pages of the site that the code and the README say: a hook of mkdocs (mkdocs.yml). Nothing is written twice.

    pip install '.[docs]' && mkdocs serve
"""

import importlib
import inspect
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from mkdocs.structure.files import File, Files  # noqa: E402

from redgui import knobs  # noqa: E402
from redgui.operators import OWN as OPERATORS  # noqa: E402
from redgui.priors.catalogue import OWN as PRIORS  # noqa: E402
from redgui.samplers import OWN as SAMPLERS  # noqa: E402

# What Python programs call: (module, names).
PUBLIC = (
    ("redgui.api", ("restore", "replay", "sweep", "Result")),
    ("redgui.priors", ("load",)),
    ("redgui.operators.base", ("Operator", "LinearOperator", "SpectralOperator")),
    ("redgui.samplers.base", ("Sampler", "Step")),
    ("redgui.priors.base", ("Prior",)),
    ("redgui.knobs", ("knob",)),
    ("redgui.plugins", ("add",)),
    ("redgui.runs.movie", ("frames", "save")),
    ("redgui.figures", ("comparison", "heat_map", "latex", "encode")),
)


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that are made, and the pictures on them."""
    pages = {"index.md": readme("Start", "A three-minute tour", "Your own photo", "The other tabs", "Command line"),
             "plugins.md": plugins(), "samplers.md": samplers(), "degradations.md": degradations(), "priors.md": priors(),
             "python.md": python()}  # fmt: skip
    pages |= {f"samplers/{cls.name}.md": sampler(cls) for cls in SAMPLERS}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    for path in (*ROOT.glob("assets/readme/*.png"), *ROOT.glob("assets/tasks/*.png")):
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to files of the repository that are no pages become their text."""
    return re.sub(r"\[([^\]]+)\]\((?:\.\./)+[^)]*\)", r"\1", markdown)


def readme(*sections: str) -> str:
    """The README's first words and some of its sections, with the links of a page of the site."""
    text = re.sub(r"\A---.*?---\n", "", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    kept = [part for part in parts if not part.startswith("## ") or part[3:].partition("\n")[0] in sections]
    assert len(kept) == 1 + len(sections), "the README has other sections by now"
    said = "".join(kept).replace("](docs/", "](")
    return re.sub(r"(?<!!)\[([^\]]+)\]\((?!http)[^)]*\)", lambda m: m[0] if re.search(r"\]\([\w-]+\.md", m[0]) else m[1], said)


def plugins() -> str:
    """How to add operators, samplers and priors."""
    said = inspect.getdoc(importlib.import_module("redgui.plugins")) or ""
    found = re.search(r"^A physics of your own.*?(?=^## )", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert found, "the README has no part on plugins"
    text = re.sub(r"\[([^\]]+)\]\((?!http|docs/)[^)]*\)", r"\1", found[0]).replace("](docs/", "](")
    return f"# Your own operators, samplers and priors\n\n{text}\n## The mechanism\n\n```text\n{said}\n```\n"


def table(cls: type) -> str:
    """The knobs of a class."""
    rows = [f"| `{k.name}` | {shown(k.default)} | {span(k)} | {cell(k.help)} |" for k in knobs.knobs(cls) if k.shown]
    return "\n".join(["| knob | default | values | what it is |", "|---|---|---|---|", *rows]) if rows else "No knobs."


def shown(value: Any) -> str:
    return f"`{value}`" if value != "" else ""


def span(k: knobs.Knob) -> str:
    if k.choices:
        return ", ".join(f"`{choice}`" for choice in k.choices)
    return knobs.span(k) if k.kind in (int, float) and k.lo is not None and k.hi is not None else k.kind.__name__


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def samplers() -> str:
    """All samplers in a table."""
    rows = [f"| [{c.label}](samplers/{c.name}.md) | `{c.name}` | {cell(c.paper)} | {cell(c.about)} |" for c in SAMPLERS]
    head = "# Samplers\n\nWhat each reaches on each degradation is in [Results](results.md).\n"
    return "\n".join([head, "| | name | paper | what it does |", "|---|---|---|---|", *rows]) + "\n"


def sampler(cls: Any) -> str:
    """A sampler's own page: the docstring of its file has the algorithm beside the paper's notation."""
    kinds = {True: "It ends at one likely picture.", False: "It draws from the posterior.", None: ""}
    fits = ", ".join(H.label for H in OPERATORS if cls.accepts(H()))
    doc = inspect.getdoc(sys.modules[cls.__module__]) or ""
    return (
        f"# {cls.label}\n\n{cls.about} {kinds[cls.seeks_mode]}\n\nPaper: {cls.paper}\n\n**Works with** {fits}.\n\n"
        f"```sh\npython -m redgui restore example:face-06 --sampler {cls.name} --out out\n```\n\n## Knobs\n\n{table(cls)}\n\n"
        f"## The algorithm, and how the code differs\n\n```text\n{doc}\n```\n"
    )


def degradations() -> str:
    """All degradations with a measurement, what RED-diff makes of it, and their knobs."""
    made = json.loads((ROOT / "assets/tasks/tasks.json").read_text())
    parts = ["# Degradations\n"]
    for cls in OPERATORS:
        parts.append(f"## {cls.label}\n\n`{cls.name}`: {cls.about}\n")
        task = next((name for name, one in made.items() if knobs.parse(one["setting"]["operator"])[0] == cls.name), None)
        if task is not None:
            for kind in ("measurement", "restored"):
                parts.append(f"![{cls.label}: {kind}](assets/tasks/{task}-{kind}.png){{ width=160 }}")
        parts.append(f"\n{table(cls)}\n")
    return "\n".join(parts)


def priors() -> str:
    """The catalogue."""
    rows = [f"| `{card.name}` | {card.size} | {card.domain} | {card.terms} | {cell(card.good_for)} |" for card in PRIORS]
    return "\n".join(["# Priors\n", "| name | size | pictures | terms | good for |", "|---|---|---|---|---|", *rows]) + "\n"


def python() -> str:
    """Signatures and docstrings of what programs call."""
    parts = ["# Python\n"]
    for module, names in PUBLIC:
        for name in names:
            thing = getattr(importlib.import_module(module), name)
            signature = "" if inspect.isclass(thing) else str(inspect.signature(thing))
            parts.append(f"## {module}.{name}\n\n```python\n{name}{signature}\n```\n\n```text\n{inspect.getdoc(thing)}\n```\n")
    return "\n".join(parts)
