"""Filling in the templates of generated files; nothing unquoted gets into one."""

from __future__ import annotations

import re
import shlex
from functools import cache
from importlib import resources
from typing import Any

import jinja2
import jinja2.meta

from lfadsq.errors import TemplateError

__all__ = ["ShellText", "render", "render_text"]

_PACKAGE = "lfadsq.templates"
_SUFFIX = ".j2"


class ShellText(str):
    """Lines of shell: the user's own, or lines in which every value is quoted already."""


class _Quoted(str):
    """Text that is safe where it stands."""


def render(template: str, **values: Any) -> str:
    """Fill in a template of the package.

    Parameters
    ----------
    template : str
        The file it makes, for example ``lfads_train.sh``.
    **values
        A value for each placeholder.

    Returns
    -------
    str

    Raises
    ------
    TemplateError
        If a placeholder has no value, a value no placeholder, or a placeholder is not quoted.
    """
    environment, placeholders = _load(template)
    return _fill(environment, template, placeholders, values)


def render_text(text: str, **values: Any) -> str:
    """Fill in a template given as text (see `render`)."""
    environment = _environment(jinja2.DictLoader({"text": text}))
    return _fill(environment, "text", _placeholders_of(environment, "text"), values)


@cache
def _load(template: str) -> tuple[jinja2.Environment, frozenset[str]]:
    environment = _environment(jinja2.FunctionLoader(_read))
    return environment, _placeholders_of(environment, template)


def _fill(
    environment: jinja2.Environment,
    template: str,
    placeholders: frozenset[str],
    values: dict[str, Any],
) -> str:
    if placeholders != values.keys():
        unfilled = sorted(placeholders - values.keys())
        unknown = sorted(values.keys() - placeholders)
        raise TemplateError(
            f"the template {template} has no value for {unfilled} and no place for {unknown}"
        )
    try:
        return environment.get_template(template).render(values)
    except jinja2.TemplateError as error:
        raise TemplateError(f"the template {template} cannot be filled in: {error}") from error


def _environment(loader: jinja2.BaseLoader) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        finalize=_only_quoted,
        keep_trailing_newline=True,
        autoescape=False,  # no markup: the filters below quote
    )
    environment.filters.update(sh=_for_shell, py=_for_python, plain=_identifier, shell=_lines)
    return environment


def _read(template: str) -> str | None:
    source = resources.files(_PACKAGE).joinpath(template + _SUFFIX)
    return source.read_text(encoding="utf-8") if source.is_file() else None


def _placeholders_of(environment: jinja2.Environment, template: str) -> frozenset[str]:
    assert environment.loader is not None
    try:
        source = environment.loader.get_source(environment, template)[0]
        parsed = environment.parse(source)
    except jinja2.TemplateError as error:
        raise TemplateError(f"the template {template} cannot be read: {error}") from error
    names = jinja2.meta.find_undeclared_variables(parsed)
    for included in jinja2.meta.find_referenced_templates(parsed):
        assert included is not None
        names |= _placeholders_of(environment, included)
    return frozenset(names)


def _only_quoted(value: Any) -> str:
    if not isinstance(value, _Quoted):
        raise TemplateError(
            f"the value {value!r} would go unquoted into a generated file",
            "use one of the filters sh, py, plain or shell in the template",
        )
    return value


def _for_shell(value: object) -> _Quoted:
    return _Quoted(shlex.quote(str(value)))


def _for_python(value: object) -> _Quoted:
    return _Quoted(repr(value))


def _identifier(value: object) -> _Quoted:
    if not re.fullmatch(r"[A-Za-z_][\w.]*", str(value), flags=re.ASCII):
        raise TemplateError(f"{value!r} cannot stand unquoted in a generated file")
    return _Quoted(value)


def _lines(value: object) -> _Quoted:
    if not isinstance(value, ShellText):
        raise TemplateError(f"{value!r} cannot stand as shell lines in a generated file")
    return _Quoted(value)
