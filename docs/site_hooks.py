"""What mkdocs does beyond its own: pages may link to examples and benchmarks, and notebooks show.

Links in the pages lead through the repository, `../examples/lorenz_stitching.py`, so that they work
wherever the repository is looked at. In the site there is nothing above `docs/`: files that are
linked to are copied into it, and a notebook becomes a page.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

_LINK = re.compile(r"(\]\()\.\./([^)#\s]+)")
_NOTEBOOK = ".ipynb"
_HIDDEN = InclusionLevel.NOT_IN_NAV


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add to the site what its pages link to outside of their folder."""
    docs = Path(config.docs_dir)
    linked = {
        target
        for page in files.documentation_pages()
        for _, target in _LINK.findall(page.content_string)
    }
    for target in sorted(linked):
        source = docs.parent / target
        if source.suffix == _NOTEBOOK:
            text = notebook_markdown(source.read_text(encoding="utf-8"))
            page = File.generated(config, _place(target), content=text, inclusion=_HIDDEN)
            files.append(page)
        elif source.is_file():
            copy = File.generated(
                config, _place(target), abs_src_path=str(source), inclusion=_HIDDEN
            )
            files.append(copy)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to those copies."""
    if "/" in page.file.src_uri:  # a notebook, whose links count from where it is
        return markdown
    return _LINK.sub(lambda found: found[1] + _place(found[2]), markdown)


def notebook_markdown(text: str) -> str:
    """Write the cells of a notebook as Markdown; what they gave is left out.

    >>> cells = [{"cell_type": "code", "source": ["1 + 1"]}]
    >>> print(notebook_markdown(json.dumps({"cells": cells})))
    ```python
    1 + 1
    ```
    """
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        is_code = cell["cell_type"] == "code"
        parts.append(f"```python\n{source}\n```" if is_code else source)
    return "\n\n".join(parts)


def _place(target: str) -> str:
    place = os.path.normpath(target)
    return place.removesuffix(_NOTEBOOK) + ".md" if place.endswith(_NOTEBOOK) else place
