"""The scopes of a Python program: which of its names stand for modules of Twisted's."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from reactor import _overwritten as _overwritten

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
Naming = ast.ExceptHandler | ast.MatchAs | ast.MatchStar | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
ROOT = "twisted"


class Scope:
    """A module, class, function or comprehension.

    `modules` maps names to the dotted names of Twisted's that they stand for. `others` are bound in other ways.
    """

    def __init__(self, parent: Scope | None, isClass: bool = False) -> None:
        self.parent = parent
        self.isClass = isClass
        self.modules: dict[str, str] = {}
        self.others: set[str] = set()
        self.globals: set[str] = set()

    def top(self) -> Scope:
        """Return the scope of the module."""
        return self if self.parent is None else self.parent.top()

    def bind(self, name: str, module: str | None = None) -> None:
        """Note that `name` is bound here, to a module of Twisted's if `module` is its name."""
        place = self.top() if name in self.globals else self
        if module is None:
            place.others.add(name)
        else:
            place.modules[name] = module

    def binds(self, name: str) -> bool:
        """Whether `name` is bound here or in a scope around this one."""
        scope: Scope | None = self
        while scope is not None and name not in scope.modules and name not in scope.others:
            scope = scope.parent
        return scope is not None

    def find(self, name: str) -> str | None:
        """Return the dotted name that `name` stands for in this scope, or None if it is no name of Twisted's."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.modules:
                return scope.modules[name]
            if name in scope.others:
                return None
            scope = scope.parent
            while scope is not None and scope.isClass:
                scope = scope.parent
        return None


class Scopes(ast.NodeVisitor):
    """Finds the scope of each name that is used. `names` are the names bound anywhere to other things than modules."""

    def __init__(self, tree: ast.Module) -> None:
        self.of: dict[ast.AST, Scope] = {}
        self.bound: set[str] = set()
        self._scope = Scope(None)
        self._scopes = [self._scope]
        self.visit(tree)
        for scope in self._scopes:
            self.bound |= scope.others

    def generic_visit(self, node: ast.AST) -> None:
        """Note what a node binds, and visit its parts."""
        if isinstance(node, ast.Name):
            self.of[node] = self._scope
            if not isinstance(node.ctx, ast.Load):
                self._scope.bind(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self._bindImport(node)
        elif isinstance(node, ast.Global):
            self._scope.globals.update(node.names)
        elif isinstance(node, Naming) and node.name:
            self._scope.bind(node.name)
        if isinstance(node, ast.ClassDef):
            self._visitAll([*node.decorator_list, *node.bases, *node.keywords])
            self._within(node.body, isClass=True)
        elif isinstance(node, Function):
            self._function(node)
        elif isinstance(node, Comprehension):
            self._within(list(ast.iter_child_nodes(node)))
        else:
            super().generic_visit(node)

    def _bindImport(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if isinstance(node, ast.Import):
                name = alias.asname or alias.name.partition(".")[0]
                full = alias.name if alias.asname else name
            else:
                name = alias.asname or alias.name
                full = f"{node.module}.{alias.name}" if not node.level else ""
            ofTwisted = full == ROOT or full.startswith(f"{ROOT}.")
            self._scope.bind(name, full if ofTwisted else None)

    def _function(self, node: Function) -> None:
        arguments = node.args
        self._visitAll([*getattr(node, "decorator_list", ()), *arguments.defaults])
        self._visitAll([each for each in arguments.kw_defaults if each is not None])
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
        self._visitAll([each.annotation for each in every if each.annotation is not None])
        returns = getattr(node, "returns", None)
        self._visitAll([] if returns is None else [returns])
        body = node.body if isinstance(node.body, list) else [node.body]
        self._within(body, names=[each.arg for each in every])

    def _within(
        self,
        nodes: list[ast.AST] | list[ast.stmt] | list[ast.expr],
        isClass: bool = False,
        names: list[str] | None = None,
    ) -> None:
        outer, self._scope = self._scope, Scope(self._scope, isClass)
        self._scopes.append(self._scope)
        for each in globalsOf(nodes):
            self._scope.globals.update(each.names)
        for name in names or ():
            self._scope.bind(name)
        self._visitAll(nodes)
        self._scope = outer

    def _visitAll(self, nodes: list[ast.AST] | list[ast.stmt] | list[ast.expr]) -> None:
        for node in nodes:
            self.visit(node)


def globalsOf(nodes: list[ast.AST] | list[ast.stmt] | list[ast.expr]) -> Iterator[ast.Global]:
    """Yield the global statements below `nodes`, without those of functions and classes in them."""
    waiting: list[ast.AST] = list(nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Global):
            yield node
        if not isinstance(node, Function | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))


def pathOf(node: ast.AST) -> tuple[ast.Name, list[ast.Attribute]] | None:
    """Return the name at the root of `a.b.c`, and its attributes from the inner one outward. None if it is another."""
    attributes: list[ast.Attribute] = []
    while isinstance(node, ast.Attribute):
        attributes.insert(0, node)
        node = node.value
    return (node, attributes) if isinstance(node, ast.Name) else None
