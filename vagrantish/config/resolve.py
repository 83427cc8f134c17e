"""What one machine's settings come to: the layers put together, rendered and converted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vagrantish.config.check import step_type
from vagrantish.config.keys import Key, Table, Tables, TextOr, Unbuilt
from vagrantish.config.layers import BOX, Layer, is_template
from vagrantish.config.settings import STEP_TYPES
from vagrantish.errors import RenderError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vagrantish.config.kinds import Kind
    from vagrantish.config.problems import Report
    from vagrantish.config.templates import Templates
    from vagrantish.toml import KeyPath

BUILT_IN = Layer(BOX, "built-in", {})
MASK = "***"


@dataclass(frozen=True)
class Source:
    """A table of one layer that has a say: the file's top, or the machine's own."""

    layer: Layer
    path: KeyPath
    table: dict[str, Any]

    def below(self, name: str) -> Source | None:
        value = self.table.get(name)
        return Source(self.layer, (*self.path, name), value) if isinstance(value, dict) else None


@dataclass(frozen=True)
class Given:
    """A value as it is written somewhere."""

    value: Any
    layer: Layer
    path: KeyPath

    @property
    def origin(self) -> str:
        return self.layer.where(self.path)


@dataclass(frozen=True)
class Leaf:
    """One setting of one machine. ``value`` is None where nothing, or nothing usable, was given."""

    key: Key
    value: Any
    plain: Any  # rendered, still as it would be written
    givens: tuple[Given, ...] = ()  # weakest first, so the last one counts
    secret: bool = False


@dataclass(frozen=True)
class Branch:
    """A table of settings; ``given`` is where it stands when it is one entry of a list."""

    leaves: dict[str, Leaf] = field(default_factory=dict)
    branches: dict[str, Branch] = field(default_factory=dict)
    lists: dict[str, tuple[Branch, ...]] = field(default_factory=dict)
    given: Given | None = None

    def __getitem__(self, name: str) -> Any:
        return self.leaves[name].value

    def place(self, name: str) -> tuple[Layer, KeyPath]:
        """Where to point at for the setting ``name``: its own line, else the table's."""
        leaf = self.leaves.get(name)
        given = leaf.givens[-1] if leaf and leaf.givens else self.given
        return (given.layer, given.path) if given else (BUILT_IN, ())


class Resolver:
    def __init__(self, templates: Templates, report: Report) -> None:
        self._templates = templates
        self._report = report
        self.secret_params: set[str] = set()

    def branch(
        self,
        keys: Sequence[Key],
        sources: Sequence[Source],
        name: str = "",
        given: Given | None = None,
    ) -> Branch:
        """``sources`` weakest first; ``name`` is what the settings' names begin with."""
        branch = Branch(given=given)
        for key in keys:
            if isinstance(key.kind, Unbuilt):
                continue
            if isinstance(key.kind, Table):
                below = [inner for source in sources if (inner := source.below(key.name))]
                branch.branches[key.name] = self.branch(key.kind.keys, below, f"{name}{key.name}.")
            elif isinstance(key.kind, Tables):
                branch.lists[key.name] = tuple(self._entries(key.name, key.kind, sources))
            elif key.early:
                branch.leaves[key.name] = self._early(key, sources)
            elif isinstance(key.kind, TextOr):
                self._text_or_table(branch, key, key.kind, sources)
            else:
                secret = key.masked and branch["sensitive"] is not False
                branch.leaves[key.name] = self._leaf(key, key.kind, sources, name, secret=secret)
                self._require(branch, key, name)
        return branch

    def _entries(self, name: str, kind: Tables, sources: Sequence[Source]) -> Iterator[Branch]:
        for source in sources:
            items = source.table.get(name)
            if not isinstance(items, list) or len(items) > kind.most:
                continue  # which check.py tells, as it does what is skipped below
            for index, item in enumerate(items):
                if isinstance(item, dict) and step_type(item) in STEP_TYPES:
                    path = (*source.path, name, index)
                    keys = [key for key in kind.keys if key.step in ("", step_type(item))]
                    entry = Source(source.layer, path, item)
                    yield self.branch(keys, [entry], f"{name}.", Given(item, source.layer, path))

    def _text_or_table(
        self, branch: Branch, key: Key, kind: TextOr, sources: Sequence[Source]
    ) -> None:
        """Text replaces what is weaker, tables are put together down to the nearest text."""
        having = [source for source in sources if key.name in source.table]
        tables: list[Source] = []
        while having and (inner := having[-1].below(key.name)):
            tables.insert(0, inner)
            having.pop()
        if not tables:
            texts = [source for source in having if not source.below(key.name)]
            leaf = self._leaf(key, kind.text, texts, "", secret=False)
            givens = tuple(self._given(source, key.name) for source in having)
            branch.leaves[key.name] = replace(leaf, givens=givens)
            return
        last = tables[-1]
        given = Given(last.table, last.layer, last.path)
        inside = self.branch(kind.table.keys, tables, f"{key.name}.", given)
        branch.branches[key.name] = inside
        weaker = [self._given(source, key.name) for source in having]
        tables_given = [Given(table.table, table.layer, table.path) for table in tables]
        branch.leaves[key.name] = Leaf(key, None, plain_of(inside), (*weaker, *tables_given))

    def _require(self, branch: Branch, key: Key, name: str) -> None:
        if key.required and not branch.leaves[key.name].givens and branch.given:
            where = branch.given
            table = name.removesuffix(".")
            self._report.add(where.layer, where.path, f"`{table}` needs `{key.name}`: {key.help}")

    def _leaf(
        self, key: Key, kind: Kind, sources: Sequence[Source], name: str, *, secret: bool
    ) -> Leaf:
        label = f"{name}{key.name}"
        givens = tuple(
            self._given(source, key.name) for source in sources if key.name in source.table
        )
        for given in givens[:-1]:
            self._check_weaker(kind, label, given, secret=secret)
        if not givens:
            return Leaf(key, self._built_in(kind, key), key.default)
        if secret:
            self._templates.params.read_since()
        plain, value = self._read(kind, label, givens[-1], secret=secret)
        if secret:
            self.secret_params |= self._templates.params.read_since()
        return Leaf(key, value, plain, givens, secret)

    def _early(self, key: Key, sources: Sequence[Source]) -> Leaf:
        """Already read, and complained about, by names.py or requires.py."""
        having = [source for source in sources if key.name in source.table]
        givens = tuple(self._given(source, key.name) for source in having)
        value = givens[-1].value if givens else key.default
        return Leaf(key, value, value, givens)

    def _given(self, source: Source, name: str) -> Given:
        return Given(source.table[name], source.layer, (*source.path, name))

    def _built_in(self, kind: Kind, key: Key) -> Any:
        return None if key.default is None else kind.read(key.default, _no_complaint)

    def _read(self, kind: Kind, label: str, given: Given, *, secret: bool) -> tuple[Any, Any]:
        """The plain and the converted value; the latter None when there were problems."""
        bad: list[str] = []

        def render(text: str, at: KeyPath) -> str:
            try:
                return self._templates.render(text, self._report.machine)
            except RenderError as error:
                bad.append(text)
                self._report.add_render(given.layer, (*given.path, *at), label, error)
                return ""

        def complain(message: str, at: KeyPath = (), hint: str = "") -> None:
            bad.append(message)
            if secret:
                message, hint = f"must be {kind.wants}", ""
            self._report.add(given.layer, (*given.path, *at), f"`{label}` {message}", hint)

        plain = kind.render(given.value, render)
        if bad:
            return given.value, None
        value = kind.read(plain, complain)
        return plain, None if bad else value

    def _check_weaker(self, kind: Kind, label: str, given: Given, *, secret: bool) -> None:
        """A value that does not count is still to be right; its templates are only parsed."""
        templates = list(_templates_in(given.value))
        for text, at in templates:
            try:
                self._templates.check(text)
            except RenderError as error:
                self._report.add_render(given.layer, (*given.path, *at), label, error)
        if not templates:
            self._read(kind, label, given, secret=secret)


def plain_of(branch: Branch, *, masked: bool = True) -> dict[str, Any]:
    """All settings below, JSON-able, in the order of the table of settings."""
    plain: dict[str, Any] = {}
    for name, leaf in branch.leaves.items():
        plain[name] = mask(leaf.plain) if leaf.secret and masked else leaf.plain
    for name, inside in branch.branches.items():
        plain[name] = plain_of(inside, masked=masked)
    for name, entries in branch.lists.items():
        plain[name] = [plain_of(entry, masked=masked) for entry in entries]
    return plain


def mask(value: Any) -> Any:
    """``value`` with every text in it hidden."""
    if isinstance(value, dict):
        return {name: mask(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask(item) for item in value]
    return value if value is None else MASK


def _templates_in(value: Any) -> Iterator[tuple[str, KeyPath]]:
    if isinstance(value, str) and is_template(value):
        yield value, ()
    items: Any = ()
    if isinstance(value, list):
        items = enumerate(value)
    elif isinstance(value, dict):
        items = value.items()
    for key, item in items:
        if isinstance(item, str) and is_template(item):
            yield item, (key,)


def _no_complaint(message: str, at: KeyPath = (), hint: str = "") -> None:
    raise AssertionError(f"a built-in value {message} {at} {hint}")
