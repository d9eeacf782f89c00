"""Run notebooks on a study's results and write them as pages."""

from __future__ import annotations

import os
from pathlib import Path

from gta.errors import GtaError
from gta.files import write_text
from gta.study import Study

KERNEL = "python3"  # the running Python
TEMPLATE = "static.html.j2"
# nbconvert's page without the scripts that it would fetch, and with a policy that admits none.
PAGE = """\
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; font-src data:; base-uri 'none'; form-action 'none'">
{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
"""


def execute(notebook: Path, study: Study) -> Path:
    """Run a notebook on a study's results and write ``results/<study>/notebooks/<name>.html``.

    The page is static: it runs no script and loads nothing from the network.

    Args:
        notebook: the file, which is left as it is.
        study: the study that ``gta.open()`` opens in it.

    Returns:
        The page.

    Raises:
        GtaError: if nbconvert is not installed, the file is not a notebook, or a cell fails.
    """
    try:
        import nbformat
        from jinja2 import DictLoader
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError
        from nbconvert import HTMLExporter
    except ImportError as error:
        raise GtaError(
            f"{error.name} is not installed; it comes with `pip install -e '.[notebooks]'`"
        ) from None
    try:
        content = nbformat.read(notebook, as_version=4)
    except OSError as error:
        raise GtaError(f"{notebook}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise GtaError(f"{notebook}: is not a notebook: {error}") from None
    here = {"metadata": {"path": str(Path.cwd()), "name": notebook.stem}}
    try:
        NotebookClient(content, timeout=None, kernel_name=KERNEL, resources=here).execute(
            env={**os.environ, "GTA_STUDY": study.name}
        )
    except CellExecutionError as error:
        raise GtaError(f"{notebook}: a cell failed: {error.ename}: {error.evalue}") from None
    exporter = HTMLExporter(extra_loaders=[DictLoader({TEMPLATE: PAGE})], template_file=TEMPLATE)
    page, _ = exporter.from_notebook_node(content, here)
    path = study.folder / "notebooks" / f"{notebook.stem}.html"
    write_text(path, page)
    return path
