"""Which names a cell of a notebook reads, and which it defines or changes, by reading its code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

# Calls that change what they are called on; so do torch's, whose names end in one underscore.
CHANGING = {
    "add", "append", "clear", "discard", "extend", "insert", "load_state_dict", "manual_seed",
    "pop", "popitem", "remove", "reverse", "seed", "setdefault", "sort", "step", "update",
}  # fmt: skip
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (*FUNCTIONS, ast.ClassDef)


class Cell(NamedTuple):
    """The code of a cell; a removed one has a title."""

    code: str
    removed: str


class Event(NamedTuple):
    """A name that is read, or bound; a function is bound with the names that its body reads."""

    name: str
    reads: bool
    body: frozenset[str] = frozenset()


def python(code: str) -> str:
    """Return a cell's code without the lines that are for IPython or a shell."""
    return re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", code)


def loads(node: ast.AST) -> set[str]:
    """Return the names that an expression or a body reads from outside of itself."""
    read: set[str] = set()
    own: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            (read if isinstance(part.ctx, ast.Load) else own).add(part.id)
        elif isinstance(part, ast.arg):
            own.add(part.arg)
        elif isinstance(part, SCOPES) and part is not node:
            own.add(part.name)
        elif isinstance(part, ast.alias):
            own.add((part.asname or part.name).split(".")[0])
    return read - own


def base(node: ast.AST) -> str | None:
    """Return the name at the root of `name.a[0].b`."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def changed(node: ast.AST) -> Iterator[str]:
    """Yield the names whose objects a statement changes without binding them."""
    for part in ast.walk(node):
        target: ast.AST | None = None
        if isinstance(part, (ast.Attribute, ast.Subscript)) and not isinstance(part.ctx, ast.Load):
            target = part
        elif isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute):
            call = part.func.attr
            if call in CHANGING or (call.endswith("_") and not call.endswith("__")):
                target = part.func
        name = base(target) if target else None
        if name:
            yield name


def bound(node: ast.AST) -> Iterator[str]:
    """Yield the names that a target or an expression binds in the cell, not inside of a lambda."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load):
            yield part.id


def comprehended(node: ast.AST) -> set[str]:
    """Return the names that only comprehensions of an expression bind."""
    inside = (part for part in ast.walk(node) if isinstance(part, ast.comprehension))
    return {name for part in inside for name in bound(part.target)}


def events(statements: list[ast.stmt]) -> Iterator[Event]:
    """Yield what statements read and bind, in order."""
    for node in statements:
        if isinstance(node, SCOPES):
            outside = [*node.decorator_list]
            if isinstance(node, FUNCTIONS):
                arguments = node.args
                outside += [*arguments.defaults, *(d for d in arguments.kw_defaults if d)]
            else:
                outside += node.bases
            body = frozenset(loads(node))
            for part in outside:
                yield from (Event(name, True) for name in sorted(loads(part)))
            if isinstance(node, ast.ClassDef):  # its body runs at once
                yield from (Event(name, True) for name in sorted(body))
            yield Event(node.name, False, body)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                yield Event((alias.asname or alias.name).split(".")[0], False)
        else:
            yield from compound(node)


def compound(node: ast.stmt) -> Iterator[Event]:
    """Yield what a statement reads and binds: its own expressions first, then its blocks."""
    blocks: list[list[ast.stmt]] = []
    own: list[ast.AST] = []
    for _, value in ast.iter_fields(node):
        values = value if isinstance(value, list) else [value]
        if values and isinstance(values[0], ast.stmt):
            blocks.append(values)
        elif values and isinstance(values[0], (ast.ExceptHandler, ast.match_case)):
            blocks += [handler.body for handler in values]
        else:
            own += [v for v in values if isinstance(v, ast.AST)]
    inner = set().union(*(comprehended(part) for part in own)) if own else set()
    for part in own:
        # A lambda's arguments and a comprehension's names are its own.
        read = {n.id for n in ast.walk(part) if isinstance(n, ast.Name) and is_read(n)} - inner
        read -= {a.arg for a in ast.walk(part) if isinstance(a, ast.arg)}
        yield from (Event(name, True) for name in sorted(read))
    if isinstance(node, ast.AugAssign):
        yield from (Event(name, True) for name in bound(node.target))
    for part in own:
        names = {*bound(part)} - inner
        yield from (Event(name, False) for name in sorted(names))
        yield from (Event(name, False) for name in sorted(set(changed(part)) - names))
    for block in blocks:
        yield from events(block)


def is_read(name: ast.Name) -> bool:
    """Return whether an occurrence of a name reads it."""
    return isinstance(name.ctx, ast.Load)


def taken_from_removed(cells: list[Cell]) -> list[tuple[int, str, str]]:
    """Return cell, name and title for each name of a kept cell whose last owner was removed."""
    owner: dict[str, str] = {}  # the title of the removed cell, or ""
    bodies: dict[str, frozenset[str]] = {}
    found: dict[tuple[int, str, str], None] = {}
    for i, cell in enumerate(cells):
        for event in events(ast.parse(python(cell.code)).body):
            if not event.reads:
                owner[event.name] = cell.removed
                bodies[event.name] = event.body
            elif not cell.removed:
                for name in closure(event.name, bodies):
                    if owner.get(name):
                        found[i, name, owner[name]] = None
    return list(found)


def closure(name: str, bodies: dict[str, frozenset[str]]) -> set[str]:
    """Return a name with all that functions read when it is called."""
    seen: set[str] = set()
    todo = [name]
    while todo:
        one = todo.pop()
        if one not in seen:
            seen.add(one)
            todo += bodies.get(one, frozenset())
    return seen
