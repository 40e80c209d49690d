"""A fixed sample of changes to the code, and functions that run with such a change."""

import ast
import gc
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

PACKAGES = ("analysis/stats", "analysis/answer", "records", "trainables/trial")
SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
HIDING = (ast.AnnAssign, ast.FunctionDef, ast.Lambda)
"""Nodes with annotations and defaults, which are not mutated."""
NAMES = {"min": "max", "any": "all", "minimum": "maximum", "floor": "ceil", "nanmin": "nanmax", "argmin": "argmax"}
NAMES |= {new: old for old, new in NAMES.items()}


@dataclass(frozen=True)
class Mutant:
    """One change of one function: of the node at `position` in `ast.walk`, inside the statement at line `statement`."""

    file: str
    function: str
    line: int
    statement: int
    change: str
    position: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.function}: {self.change} #{self.position}"


def changes(node: ast.AST) -> Iterator[tuple[str, Callable[[], ast.AST]]]:
    """The changes of a node: a name, and what returns the node that replaces it."""

    def altered(**fields: Any) -> Callable[[], ast.AST]:
        return lambda: ast.copy_location(type(node)(**{**dict(ast.iter_fields(node)), **fields}), node)

    match node:
        case ast.Compare(ops=[op, *rest]) if type(op) in SWAPS:
            yield f"{type(op).__name__} swapped", altered(ops=[SWAPS[type(op)](), *rest])
        case ast.BinOp(op=op) | ast.AugAssign(op=op) | ast.BoolOp(op=op) if type(op) in SWAPS:
            yield f"{type(op).__name__} swapped", altered(op=SWAPS[type(op)]())
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield f"{type(node.op).__name__} removed", lambda: operand
        case ast.Constant(value=bool(value)):
            yield f"{value} negated", altered(value=not value)
        case ast.Constant(value=int(value) | float(value)):
            yield f"{value} + 1", altered(value=value + 1)
            yield f"{value} - 1", altered(value=value - 1)
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            yield "condition negated", altered(test=ast.UnaryOp(ast.Not(), test))
        case ast.comprehension(ifs=[test, *rest]):
            yield "condition negated", altered(ifs=[ast.UnaryOp(ast.Not(), test), *rest])
        case ast.Name(id=name) if name in NAMES:
            yield f"{name} swapped", altered(id=NAMES[name])
        case ast.Attribute(attr=name) if name in NAMES:
            yield f"{name} swapped", altered(attr=NAMES[name])
        # Code that no longer needs its class, for super(), could not be exchanged.
        case ast.Return(value=ast.expr() as value) if not re.search(r"super\(|^None$", ast.unparse(value)):
            yield "value not returned", altered(value=ast.Constant(None))
        case ast.Expr(value=ast.Call()) | ast.Raise() if "super(" not in ast.unparse(node):
            yield "statement removed", lambda: ast.copy_location(ast.Pass(), node)
        case ast.Continue() | ast.Break():
            swapped = ast.Break if isinstance(node, ast.Continue) else ast.Continue
            yield f"{type(node).__name__} swapped", lambda: ast.copy_location(swapped(), node)


def body_nodes(node: ast.AST, statement: int) -> Iterator[tuple[ast.AST, int]]:
    """The nodes that a function runs, each with the line of its statement, without annotations and error messages."""
    if isinstance(node, ast.stmt):
        statement = node.lineno
    yield node, statement
    hidden = {"annotation", "args", "returns", "decorator_list"} if isinstance(node, HIDING) else set()
    if not isinstance(node, ast.Raise | ast.JoinedStr):
        for field, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and field not in hidden:
                    yield from body_nodes(child, statement)


def functions(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    """The functions and methods of a file by qualified name; names that are defined twice are left out."""
    named = [(f.name, f) for f in tree.body if isinstance(f, ast.FunctionDef)]
    for owner in (c for c in tree.body if isinstance(c, ast.ClassDef)):
        named += [(f"{owner.name}.{f.name}", f) for f in owner.body if isinstance(f, ast.FunctionDef)]
    counts = Counter(name for name, _ in named)
    return {name: function for name, function in named if counts[name] == 1}


def mutants_of(root: Path, file: Path) -> list[Mutant]:
    tree = ast.parse(file.read_text())
    positions = {id(node): position for position, node in enumerate(ast.walk(tree))}
    path = str(file.relative_to(root))
    return [
        Mutant(path, name, getattr(node, "lineno", statement), statement, change, positions[id(node)])
        for name, function in functions(tree).items()
        for body in function.body
        for node, statement in body_nodes(body, function.lineno)
        for change, _ in changes(node)
    ]


def sample(root: Path, n: int) -> list[Mutant]:
    """At least `n` mutants, from each package in proportion to all that it has."""
    every = {p: [m for f in sorted((root / p).rglob("*.py")) for m in mutants_of(root, f)] for p in PACKAGES}
    total = sum(map(len, every.values()))
    return [m for p, mutants in every.items() for m in random.Random(p).sample(mutants, -(-n * len(mutants) // total))]  # noqa: S311


def mutated(root: Path, mutant: Mutant) -> ast.Module:
    tree = ast.parse((root / mutant.file).read_text())
    node = next(islice(ast.walk(tree), mutant.position, None))
    replacement = dict(changes(node))[mutant.change]()

    class Replace(ast.NodeTransformer):
        def visit(self, visited: ast.AST) -> ast.AST:
            return replacement if visited is node else self.generic_visit(visited)

    Replace().visit(tree)
    return tree


def recording(file: Path, name: str) -> ast.Module:
    """The file with a note before each statement of a function that it was executed."""
    tree = ast.parse(file.read_text())
    for node in [n for function in functions(tree).values() for n in ast.walk(function)]:
        for field in ("body", "orelse", "finalbody"):
            if isinstance(statements := getattr(node, field, None), list):
                notes = [ast.parse(f"__executed__.add(({name!r}, {s.lineno}))").body[0] for s in statements]
                setattr(node, field, [s for pair in zip(notes, statements, strict=True) for s in pair])
    return tree


def exchange(file: Path, tree: ast.Module) -> None:
    """Give the functions of a file, already imported, the code of its changed tree."""
    codes, names = [compile(ast.fix_missing_locations(tree), str(file), "exec")], set(functions(tree))
    for code in codes:
        codes += [const for const in code.co_consts if isinstance(const, CodeType)]
    new = {code.co_qualname: code for code in codes}
    # Not isinstance: it would ask lazily loaded modules for their class.
    for function in [f for f in gc.get_objects() if type(f) is FunctionType]:
        if function.__code__.co_filename == str(file) and function.__code__.co_qualname in names:
            function.__code__ = new[function.__code__.co_qualname]
