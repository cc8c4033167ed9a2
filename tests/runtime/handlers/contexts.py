"""Handlers that look at the context and the environment."""
# ruff: noqa: ARG001, a handler takes both

from __future__ import annotations

import os
from typing import Any


def public(context: Any) -> dict[str, Any]:
    """Public attributes of an object, one level down."""
    return {
        name: getattr(context, name)
        for name in dir(context)
        if not name.startswith("_") and not callable(getattr(context, name))
    }


def fields(event: Any, context: Any) -> Any:
    """Return every field of the context."""
    found = public(context)
    identity = public(found.pop("identity"))
    client_context = found.pop("client_context")
    if client_context is not None:
        client_context = public(client_context)
        if client_context["client"] is not None:
            client_context["client"] = public(client_context["client"])
    remaining = context.get_remaining_time_in_millis()
    return {
        **found,
        "identity": identity,
        "client_context": client_context,
        "remaining": 25_000 < remaining <= 30_000 and type(remaining).__name__,
        "w3c": context.w3c(),
        "class": type(context).__name__,
        "client_class": type(context.client_context).__name__,
        "identity_class": type(context.identity).__name__,
    }


def remaining(event: Any, context: Any) -> Any:
    """Return the time left."""
    return context.get_remaining_time_in_millis()


def trace(event: Any, context: Any) -> Any:
    """Return the trace id as Python and as a child process see it."""
    return {
        "os": os.environ.get("_X_AMZN_TRACE_ID"),
        "child": os.popen("echo $_X_AMZN_TRACE_ID").read().strip(),  # noqa: S605
    }


def assign(event: Any, context: Any) -> Any:
    """Set an attribute, as middleware does, which the next context is not to have."""
    before = hasattr(context, "mine")
    context.mine = 1
    return [before, context.mine]


def variables(event: Any, context: Any) -> Any:
    """Return what is left of the runtime's own variables."""
    names = ("_LAMBDA_TELEMETRY_LOG_FD", "_HANDLER", "AWS_LAMBDA_RUNTIME_API")
    return {name: name in os.environ for name in names}
