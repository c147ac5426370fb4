"""How interfaces answer at run time, and how a class declares its interfaces. See the package.

An object provides an interface if a declaration on it or its class says so. It also does if it has every member of the
interface: methods that take the arguments which the interface needs. So no declaration is needed, and a declaration
counts. An interface without members needs one.

This module never imports zope.interface. If a program has imported it, its `implementer` and the like take the
interfaces here. For zope, which iterates over an interface, a twin of its own kind is made then.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

from reactor import _overwritten as _overwritten

if TYPE_CHECKING:
    from abc import ABCMeta as ProtocolMeta
else:
    ProtocolMeta = type(Protocol)

T = TypeVar("T")
ClassT = TypeVar("ClassT", bound=type[Any])

_MISSING = object()
CO_VARARGS = 0x04  # as in `inspect`, which takes longer to load than all of this package
_DIRECTLY = "_providesDirectly"
_TWISTED = "twisted.internet.interfaces"
_ZOPE = "zope.interface.interface"

_declared: WeakKeyDictionary[type, tuple[InterfaceClass, ...]] = WeakKeyDictionary()
_classesProvide: WeakKeyDictionary[type, tuple[InterfaceClass, ...]] = WeakKeyDictionary()
_members: WeakKeyDictionary[InterfaceClass, dict[str, Any]] = WeakKeyDictionary()
_twins: dict[InterfaceClass, Any] = {}
_ours: dict[str, InterfaceClass] = {}


class NotProvided(TypeError):
    """An object does not provide an interface, or a class does not implement it. The message names the fault."""


class InterfaceClass(ProtocolMeta):
    """The class of interfaces, which answers for them. `isinstance` and `issubclass` give the same answers."""

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(name, bases, namespace, **kwargs)
        if cls.__module__.startswith("reactor.interfaces."):
            _ours[name] = cls

    def providedBy(cls, ob: object) -> bool:
        """Whether `ob` provides this interface."""
        if any(issubclassNominally(each, cls) for each in _directly(ob)) or cls._isDeclared(type(ob)):
            return True
        twin = _twins.get(cls)
        if twin is not None and twin.providedBy(ob):
            return True
        return bool(_membersOf(cls)) and not any(_lacks(ob, type(ob), *member) for member in _membersOf(cls).items())

    def implementedBy(cls, kind: type[Any]) -> bool:
        """Whether the instances of the class `kind` provide this interface, as far as the class shows.

        Instances may get data in __init__, so data members count only if the interface has no methods.
        """
        if cls._isDeclared(kind):
            return True
        twin = _twins.get(cls)
        if twin is not None and twin.implementedBy(kind):
            return True
        members = _membersOf(cls)
        asked = {name: method for name, method in members.items() if method is not None} or members
        return bool(asked) and not any(_lacks(None, kind, *member) for member in asked.items())

    def names(cls) -> list[str]:
        """Return the names of the members, including those of the interfaces that this one extends."""
        return list(_membersOf(cls))

    def _isDeclared(cls, kind: type[Any]) -> bool:
        return any(
            base is cls or any(issubclassNominally(each, cls) for each in _declared.get(base, ()))
            for base in kind.__mro__
        )

    def __instancecheck__(cls, instance: object) -> bool:
        return cls.providedBy(instance) if _isInterface(cls) else type.__instancecheck__(cls, instance)

    def __subclasscheck__(cls, subclass: type[Any]) -> bool:
        return cls.implementedBy(subclass) if _isInterface(cls) else type.__subclasscheck__(cls, subclass)

    if not TYPE_CHECKING:

        def __call__(cls, *args, **kwargs):
            """Adapt an object: return it if it provides the interface, else the result of its __conform__.

            If that is None, return the second argument, or raise TypeError if there is none. (A class that inherits
            from an interface makes instances.)
            """
            return _adapt(cls, *args) if _isInterface(cls) else super().__call__(*args, **kwargs)

        def __iter__(cls):
            if not _isInterface(cls) or _ZOPE not in sys.modules:
                raise TypeError(f"{cls!r} is not iterable")
            return iter((_twinOf(cls),))


class Interface(Protocol, metaclass=InterfaceClass):
    """The base of all interfaces, also of a program's own: `class IGreeter(Interface, Protocol)`."""


def implementer(*interfaces: Any) -> Callable[[ClassT], ClassT]:
    """Return a decorator which declares that the instances of a class provide `interfaces`."""

    def declare(kind: ClassT) -> ClassT:
        classImplements(kind, *interfaces)
        return kind

    return declare


def classImplements(kind: type[Any], *interfaces: Any) -> None:
    """Declare that the instances of `kind`, and of its subclasses, also provide `interfaces`."""
    _declared[kind] = (*_declared.get(kind, ()), *_flat(interfaces))


def provider(*interfaces: Any) -> Callable[[T], T]:
    """Return a decorator which declares that the class or function itself provides `interfaces`."""

    def declare(ob: T) -> T:
        directlyProvides(ob, *interfaces)
        return ob

    return declare


def directlyProvides(ob: object, *interfaces: Any) -> None:
    """Declare that `ob` itself directly provides `interfaces` and no others. TypeError if it takes no attributes."""
    given = tuple(_flat(interfaces))
    if isinstance(ob, type):
        _classesProvide[ob] = given
        return
    try:
        setattr(ob, _DIRECTLY, given)
    except AttributeError:
        raise TypeError(f"{ob!r} takes no attributes: declare it of its class") from None


def alsoProvides(ob: object, *interfaces: Any) -> None:
    """Declare that `ob` itself also provides `interfaces`."""
    directlyProvides(ob, _directly(ob), *interfaces)


def providedBy(ob: object) -> tuple[InterfaceClass, ...]:
    """Return every interface of this package that `ob` provides."""
    return tuple(each for each in _ours.values() if each.providedBy(ob))


def implementedBy(kind: type[Any]) -> tuple[InterfaceClass, ...]:
    """Return every interface of this package that the instances of `kind` provide, as far as the class shows."""
    return tuple(each for each in _ours.values() if each.implementedBy(kind))


def verifyObject(interface: InterfaceClass, ob: object) -> bool:
    """Return True if `ob` has all of `interface`, whatever was declared. NotProvided names a missing member."""
    return _verify(interface, ob, type(ob))


def verifyClass(interface: InterfaceClass, kind: type[Any]) -> bool:
    """Return True if the class `kind` has all of `interface`, whatever was declared.

    NotProvided names a missing member. Data that instances get in __init__ does not count.
    """
    return _verify(interface, None, kind)


def conform(self: Any, interface: Any) -> Any:
    """The `__conform__` of this package's classes: zope.interface calls it to adapt `self`.

    If `self` provides an interface of this package, it also provides Twisted's interface of the same name.
    """
    ours = _ours.get(getattr(interface, "__name__", ""))
    if ours is None or (interface.__module__ != _TWISTED and _twins.get(ours) is not interface):
        return None
    return self if ours.providedBy(self) else None


def issubclassNominally(kind: type[Any], cls: type[Any]) -> bool:
    """Whether `kind` inherits from `cls`, whatever its members."""
    return cls in kind.__mro__


def _isInterface(cls: type[Any]) -> bool:
    return bool(cls.__dict__.get("_is_protocol", False))


def _adapt(cls: InterfaceClass, ob: Any, *default: Any) -> Any:
    if cls.providedBy(ob):
        return ob
    adapter = getattr(ob, "__conform__", lambda _: None)(cls)
    if adapter is not None:
        return adapter
    if default:
        return default[0]
    raise TypeError(f"could not adapt {ob!r} to {cls.__name__}")


def _verify(interface: InterfaceClass, ob: object, kind: type[Any]) -> bool:
    wrong = [
        f"{name} {lack}"
        for name, member in _membersOf(interface).items()
        if (ob is not None or member is not None) and (lack := _lacks(ob, kind, name, member))
    ]
    if wrong:
        what = kind.__name__ if ob is None else repr(ob)
        raise NotProvided(f"{what} does not provide {interface.__name__}: {', '.join(wrong)}")
    return True


def _directly(ob: object) -> tuple[InterfaceClass, ...]:
    if isinstance(ob, type):
        return _classesProvide.get(ob, ())
    found = getattr(ob, _DIRECTLY, ())
    return found if type(found) is tuple else ()  # a mock object has every name


def _flat(interfaces: Iterable[Any]) -> Iterator[InterfaceClass]:
    for each in interfaces:
        if isinstance(each, InterfaceClass):
            yield each
        elif isinstance(each, tuple | list):
            yield from _flat(each)
        else:
            raise TypeError(f"{each!r} is no interface of reactor.interfaces")


def _membersOf(interface: InterfaceClass) -> dict[str, Any]:
    """The members by name: a function for a method, None for data."""
    members = _members.get(interface)
    if members is None:
        members = {}
        for base in reversed(interface.__mro__):
            if isinstance(base, InterfaceClass) and _isInterface(base):
                members |= {name: None for name in base.__annotations__ if not name.startswith("_")}
                members |= {
                    name: value if isinstance(value, FunctionType) else None
                    for name, value in vars(base).items()
                    if not name.startswith("_")
                }
        _members[interface] = members
    return members


def _lacks(ob: object, kind: type[Any], name: str, member: Any) -> str:
    """Return the fault of `name` of `ob`, or, if `ob` is None, of the instances of `kind`; "" if there is none."""
    found: Any = next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), _MISSING)
    isOfClass = isinstance(found, FunctionType)
    if member is None:
        return "" if found is not _MISSING or (ob is not None and hasattr(ob, name)) else "is missing"
    if not isOfClass and ob is not None:
        found = getattr(ob, name, _MISSING)
    elif isinstance(found, staticmethod | classmethod):
        found = getattr(kind, name)
    if found is _MISSING:
        return "is missing"
    if not callable(found) and not hasattr(type(found), "__get__"):
        return "is no method"
    return "" if _takes(found, _needed(member), isOfClass) else "takes other arguments"


def _needed(method: FunctionType) -> int:
    return method.__code__.co_argcount - 1 - len(method.__defaults__ or ())


def _takes(found: Any, count: int, isUnbound: bool) -> bool:
    """Whether `found` can be called with `count` arguments; True if it has no code to look at."""
    if isinstance(found, MethodType):
        found, isUnbound = found.__func__, True
    if not isinstance(found, FunctionType):
        return True
    code = found.__code__
    count += isUnbound
    needed = code.co_argcount - len(found.__defaults__ or ())
    if code.co_kwonlyargcount > len(found.__kwdefaults__ or ()):
        return False
    return needed <= count and (count <= code.co_argcount or bool(code.co_flags & CO_VARARGS))


def _twinOf(cls: InterfaceClass) -> Any:
    """Return the interface of zope's kind that stands for `cls` in its declarations.

    It extends Twisted's of that name, if the program has imported it: what is declared here then counts there.
    """
    twin = _twins.get(cls)
    if twin is None:
        zope: ModuleType = sys.modules[_ZOPE]
        bases = tuple(_twinOf(base) for base in cls.__bases__ if isinstance(base, InterfaceClass))
        theirs = getattr(sys.modules.get(_TWISTED), cls.__name__, None)
        if isinstance(theirs, zope.InterfaceClass):
            bases += (theirs,)
        attributes = {
            name: zope.Attribute(name) if member is None else zope.fromFunction(member, name=name, imlevel=1)
            for name, member in _membersOf(cls).items()
            if not any(name in _membersOf(base) for base in cls.__bases__ if isinstance(base, InterfaceClass))
        }
        twin = zope.InterfaceClass(cls.__name__, bases or (zope.Interface,), attributes, __module__=cls.__module__)
        _twins[cls] = twin
    return twin
