"""JSON beyond what the C codec does by itself, and every complaint about bad JSON."""

from __future__ import annotations

import json
from _json import encode_basestring
from decimal import Decimal
from gc import get_referents

from lambda_runtime import loop
from lambda_runtime.failures import Fault

TYPE_CHECKING = False  # typing costs 2 ms
if TYPE_CHECKING:
    from typing import Any


class Inexact(Exception):  # noqa: N818, never leaves this module
    """A Decimal whose digits a float would change."""


def decode(body: bytes) -> Any:
    """Parse an event that has a BOM, white space around it, or something wrong with it.

    Raises:
        Fault: Runtime.UnmarshalError.
    """
    try:
        return json.loads(str(body, "utf-8-sig"), parse_constant=loop.reject_constant)
    except Exception as error:
        raise Fault("Runtime.UnmarshalError", f"The event is not JSON: {error}") from error


def stand_in(value: Any) -> Any:
    """Give the C encoder something that it writes as this value is to be written.

    Raises:
        Inexact: only `_write` can keep these digits.
        TypeError: not a JSON value.
    """
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, bytes):
        return str(value, "utf-8")
    if callable(getattr(value, "_asdict", None)):
        return value._asdict()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _number(value: Decimal) -> float | int:
    digits = str(value)
    if value.is_nan():
        return float("nan")
    if digits.lstrip("-").isdigit() and digits != "-0":
        return int(value)
    number = float(value)
    if repr(number) != digits:
        raise Inexact
    return number


def hides_namedtuple(level: list[Any]) -> bool:
    """Tell whether a namedtuple is among these objects, or below them."""
    while level:
        if any(isinstance(value, tuple) and hasattr(value, "_asdict") for value in level):
            return True
        level = get_referents(*[v for v in level if isinstance(v, (dict, list, tuple))])
    return False


def encode(result: Any) -> bytes:
    """Write a result with namedtuples, Decimals, bytes or lone surrogates in it.

    Raises:
        Fault: Runtime.MarshalError.
    """
    try:
        parts: list[str] = []
        _write(result, parts, set())
        text = "".join(parts)
    except Exception as error:
        raise Fault("Runtime.MarshalError", f"The result is not JSON: {error}") from error
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a surrogate pair has an escape, but no UTF-8
        return "".join(
            c if not "\ud800" <= c <= "\udfff" else f"\\u{ord(c):04x}" for c in text
        ).encode()


def _write(value: Any, parts: list[str], open_ids: set[int]) -> None:
    """Append the JSON of a value to `parts`; `open_ids` are the containers around it."""
    add = parts.append
    if value is None or isinstance(value, (bool, int, float)):
        add("".join(loop.write(value, 0)))
    elif isinstance(value, str):
        add(encode_basestring(value))
    elif isinstance(value, Decimal):
        add("NaN" if value.is_nan() else str(value))
    else:
        if id(value) in open_ids:
            raise ValueError("it contains itself")
        open_ids.add(id(value))
        if isinstance(value, dict):
            _write_items(value, parts, open_ids)
        elif isinstance(value, (list, tuple)) and not callable(getattr(value, "_asdict", None)):
            separator = "["
            for item in value:
                add(separator)
                _write(item, parts, open_ids)
                separator = ", "
            add("]" if value else "[]")
        else:
            _write(stand_in(value), parts, open_ids)
        open_ids.discard(id(value))


def _write_items(value: dict[Any, Any], parts: list[str], open_ids: set[int]) -> None:
    separator = "{"
    for key, item in value.items():
        parts.append(separator)
        parts.append(encode_basestring(_key(key)))
        parts.append(": ")
        _write(item, parts, open_ids)
        separator = ", "
    parts.append("}" if value else "{}")


def _key(key: Any) -> str:
    if isinstance(key, bytes):
        return str(key, "utf-8")
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, (bool, int, float)):
        return "".join(loop.write(key, 0))
    raise TypeError(f"{type(key).__name__} cannot be the key of an object")
