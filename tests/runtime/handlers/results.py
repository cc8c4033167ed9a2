"""Handlers of the differential test: each returns, raises or prints one thing."""
# ruff: noqa: ARG001, a handler takes both

from __future__ import annotations

import dataclasses
import datetime
import enum
import sys
from collections import OrderedDict, UserDict, defaultdict, namedtuple
from decimal import Decimal
from typing import Any, NamedTuple

Point = namedtuple("Point", ["x", "y"])  # the older form


class Named(NamedTuple):
    """A namedtuple of the newer form."""

    a: int
    b: Point


class Color(enum.Enum):
    """No JSON type."""

    RED = "red"


class Level(enum.IntEnum):
    """A JSON number."""

    LOW = 1


class Text(str):
    """A JSON string."""

    __slots__ = ()


class Mapping(dict):  # type: ignore[type-arg]
    """A JSON object."""


@dataclasses.dataclass
class Data:
    """No JSON type."""

    a: int = 1


class AsDict:
    """Not a tuple, but with the method that makes an object of one."""

    def _asdict(self) -> dict[str, Any]:
        return {"by": "_asdict"}


class HookError(Exception):
    """Not from the standard library."""


loop: list[Any] = []
loop.append(loop)
deep: list[Any] = []
for _ in range(100):
    deep = [deep]

VALUES: dict[str, Any] = {
    "none": None,
    "true": True,
    "number": 42,
    "float": 1.5,
    "float_exponent": 1e300,
    "float_small": 1e-7,
    "big_integer": 2**80,
    "nan": float("nan"),
    "infinity": [float("inf"), float("-inf")],
    "text": "plain",
    "text_empty": "",
    "text_unicode": "Zürich 東京 🎉",
    "text_escapes": 'quote " backslash \\ newline \n tab \t nul \x00 del \x7f line \u2028',
    "bytes": b"\x00\xff raw",
    "bytes_empty": b"",
    "bytes_nested": {"a": b"text", "b": ["Zürich".encode()]},
    "bytes_nested_bad": {"a": b"\xff"},
    "bytes_key": {b"key": 1},
    "bytearray": bytearray(b"x"),
    "list": [1, "a", None, [], {}],
    "tuple": (1, (2, 3), ()),
    "object": {"statusCode": 200, "body": "ok", "headers": {"a": "b"}},
    "object_keys": {1: "int", 1.5: "float", True: "bool", None: "none"},  # noqa: F601
    "object_bad_key": {(1, 2): "tuple"},
    "decimal": Decimal("1.10"),
    "decimal_nested": {"a": [Decimal(12), Decimal("0.1"), Decimal("1E+5"), Decimal("-0")]},
    "decimal_long": [Decimal("3.14159265358979323846264338327950288"), Decimal(10**30)],
    "decimal_nan": [Decimal("NaN"), Decimal("-NaN")],
    "decimal_infinity": [Decimal("Infinity"), Decimal("-Infinity")],
    "decimal_minus_zero": [Decimal("-0")],
    "decimal_key": {Decimal(1): 1},
    "namedtuple": Point(1, 2),
    "namedtuple_nested": {"p": [Named(1, Point(2, "Z"))], "t": (Point(1, 2),)},
    "as_dict": [AsDict()],
    "ordered": OrderedDict(b=1, a=2),
    "defaultdict": defaultdict(list, a=[1]),
    "mapping": Mapping(a=Mapping(b=1)),
    "user_dict": UserDict(a=1),
    "int_enum": [Level.LOW, {"a": Level.LOW}],
    "str_subclass": Text("text"),
    "set": {1},
    "frozenset": [frozenset((1,))],
    "datetime": {"at": datetime.datetime(2026, 1, 1)},  # noqa: DTZ001
    "date": datetime.date(2026, 1, 1),
    "enum": Color.RED,
    "dataclass": Data(),
    "object_instance": object(),
    "function": len,
    "class": int,
    "circular": loop,
    "deep": deep,
    "large": [{"id": i, "name": "Ä" * 10, "tags": ["a", None, 1.5]} for i in range(3000)],
}


def value(event: str, context: Any) -> Any:
    """Return the value of this name."""
    return VALUES[event]


def echo(event: Any, context: Any) -> Any:
    """Return the event."""
    return event


def described(event: Any, context: Any) -> Any:
    """Return what Python sees in the event."""
    return {"type": type(event).__name__, "repr": repr(event)}


def inner(depth: int) -> None:
    """Raise from some frames deep."""
    if depth:
        inner(depth - 1)
    raise ValueError("from the depth")


def fail(event: str, context: Any) -> Any:
    """Raise the error of this name."""
    if event == "plain":
        raise RuntimeError("no")
    if event == "empty":
        raise RuntimeError
    if event == "custom":
        raise HookError("own class")
    if event == "unicode":
        raise ValueError("Zürich\n東京 🎉 \x00")
    if event == "deep":
        inner(3)
    if event == "multi_line":
        raise ValueError("first\n  second\r\nthird")
    if event == "chained":
        try:
            inner(1)
        except ValueError as error:
            raise KeyError("outer") from error
    if event == "group":
        raise ExceptionGroup("several", [ValueError("a"), TypeError("b")])
    if event == "syntax":
        eval("1 +")  # noqa: S307
    if event == "arguments":
        raise OSError(2, "No such file", "/nowhere")
    if event == "recursion":
        return fail(event, context)
    if event == "assertion":
        assert not event
    if event == "long":
        raise ValueError("x" * 300_000)
    if event == "caret":
        return {}["a"]["b"] + event.nothing  # type: ignore[index, attr-defined]
    raise AssertionError(event)


def huge_cause(event: Any, context: Any) -> Any:
    """Raise an error whose X-Ray cause is over 1 MiB."""
    raise ValueError("y" * (1 << 20))


def nothing_caught(event: Any, context: Any) -> Any:
    """End the process."""
    sys.exit(7)


def wrong_signature() -> None:
    """Take no arguments at all."""
