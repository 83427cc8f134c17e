"""Jinja2's doorway: a template and what it may name in, text or a RenderError out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jinja2.exceptions import (
    SecurityError,
    TemplateAssertionError,
    TemplateError,
    TemplateSyntaxError,
    UndefinedError,
)

from vagrantish.errors import RenderError
from vagrantish.render.sandbox import Environment, Guard, Names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jinja2 import Template

_TOKEN_COST = 20  # of compiling one token of a template
_RAW = "write {% raw %}…{% endraw %} around braces that are meant literally"
_CODE_FILE = "<template>"  # what Jinja2 calls a template without a file


def render_value(text: str, context: Mapping[str, Any]) -> str:
    """One value of a settings file. Raises RenderError.

    ``context`` has a mapping, or a plain value, for each name the template may use.
    """
    return Renderer().render(text, context)


def render_file(text: str, context: Mapping[str, Any]) -> str:
    """A file's text, where ``{# … #}`` is a comment too. Raises RenderError."""
    return Renderer(comments=True).render(text, context)


class Renderer:
    """Renders many values out of one allowance of work; remembers what it compiled.

    In a value ``{#`` is plain text, since shells write ``${#name}`` and TOML has comments.
    """

    def __init__(self, *, comments: bool = False) -> None:
        self._environment = Environment(comments=comments)
        self._compiled: dict[str, Template] = {}

    def check(self, text: str) -> None:
        """Raises RenderError when ``text`` is no template."""
        self._template(text)

    def render(self, text: str, context: Mapping[str, Any]) -> str:
        template = self._template(text)
        names = {
            name: Names(name, value) if isinstance(value, Mapping) else value
            for name, value in context.items()
        }
        with _our_errors(text, template):
            pieces = template.root_render_func(template.new_context(names))
            return self._environment.concat(pieces)

    def _template(self, text: str) -> Template:
        if text not in self._compiled:
            if "\0" in text:
                raise RenderError("a template holds no NUL character")
            environment = self._environment
            environment.weigh(text)
            # Jinja2 would make every end of line the same.
            environment.newline_sequence = "\r\n" if "\r\n" in text else "\n"
            with _our_errors(text, None):
                for _token in environment.lex(text):
                    environment.spend(_TOKEN_COST)
                code = environment.compile(Guard().visit(environment.parse(text)))
                self._compiled[text] = environment.template_class.from_code(
                    environment, code, environment.globals
                )
        return self._compiled[text]


@contextmanager
def _our_errors(text: str, template: Template | None) -> Iterator[None]:
    """Whatever a template can make Python or Jinja2 raise comes out as a RenderError.

    Values stay out of the texts, as they may be secrets.
    """
    try:
        yield
    except RenderError:
        raise
    except TemplateSyntaxError as error:
        message = f"the template is wrong: {error.message or ''}{_line(text, error.lineno)}"
        hint = "" if isinstance(error, TemplateAssertionError) else _RAW  # that is a filter's name
        raise RenderError(_plain(message), hint=hint) from error
    except RecursionError as error:
        raise RenderError("the template is nested too deep") from error
    except (UndefinedError, SecurityError) as error:
        message = f"{error.message or ''}{_line(text, _lineno(error, template))}"
        raise RenderError(_plain(message)) from error
    except (TemplateError, TypeError, ArithmeticError) as error:
        message = f"the template fails: {error}{_line(text, _lineno(error, template))}"
        raise RenderError(_plain(message)) from error
    except (
        AttributeError, LookupError, ValueError, AssertionError, SyntaxError, MemoryError,
    ) as error:  # fmt: skip
        where = _line(text, _lineno(error, template))
        raise RenderError(f"the template fails with {type(error).__name__}{where}") from error


def _lineno(error: BaseException, template: Template | None) -> int:
    """The line of the template that was at work; 0 when none was."""
    line, trace = 0, error.__traceback__
    while trace is not None and template is not None:
        if trace.tb_frame.f_code.co_filename == _CODE_FILE:
            line = template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return line


def _line(text: str, lineno: int) -> str:
    return f" (line {lineno} of the text)" if lineno and "\n" in text.strip() else ""


def _plain(message: str) -> str:
    """On one line, without what a terminal might obey, and not too long."""
    shown = "".join(char if char.isprintable() else " " for char in message)
    return shown if len(shown) <= 300 else f"{shown[:300]}…"
