"""Fill the reference page with the public names, so that it cannot fall behind: a hook of MkDocs."""

import ast
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MARK = re.compile(r"<!-- names of ([\w.]+) in (\w+) -->")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by MkDocs for each page: put the documentation of the names in the place of each mark."""
    if page.file.src_uri != "reference.md":
        return markdown
    return MARK.sub(lambda m: "\n\n".join(f"::: {name}" for name in public(m[1], m[2])), markdown)


def public(module: str, room: str) -> list[str]:
    """Full names of what a module offers and a room defines, in alphabetical order."""
    homes = _homes(module)
    kept = {name: home for name, home in homes.items() if room in home.split(".")}
    return [f"{kept[name]}.{name}" for name in sorted(kept, key=str.lower)]


def _homes(module: str) -> dict[str, str]:
    """Where the names of a module live: from its table, its imports, or its ``__all__``."""
    base = ROOT / module.replace(".", "/")
    source = (base / "__init__.py" if base.is_dir() else base.with_suffix(".py")).read_text()
    homes: dict[str, str] = {}
    listed: list[str] = []
    body = ast.parse(source).body
    # Imports under a condition are those for type checks: of names that are imported when first used.
    for node in body + [inner for outer in body if isinstance(outer, ast.If) for inner in outer.body]:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id == "_HOME":
                homes |= {name: f"{module}.{home}" for name, home in ast.literal_eval(node.value).items()}
            if node.targets[0].id == "__all__" and not homes:
                listed = ast.literal_eval(node.value)
        if isinstance(node, ast.ImportFrom) and base.is_dir() and str(node.module).startswith("wellposed."):
            homes |= {alias.name: str(node.module) for alias in node.names}
    return homes or {name: module for name in listed if name.islower()}


if __name__ == "__main__":
    print("\n".join(public(*sys.argv[1:3])))
