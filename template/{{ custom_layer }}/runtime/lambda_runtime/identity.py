"""What callers send along: the Mobile SDK's client context, Cognito identity, W3C trace context."""

from __future__ import annotations

import json

from lambda_runtime.failures import Fault

TYPE_CHECKING = False  # typing costs 2 ms
if TYPE_CHECKING:
    from typing import Any

    from lambda_runtime.loop import LambdaContext

W3C_FIELDS = ("traceparent", "tracestate", "baggage")


class Fields:
    """An object with fixed fields, None where the caller sent nothing."""

    _names: tuple[str, ...] = ()

    def __init__(self, values: dict[str, Any]) -> None:
        """Take the fields' values by name; others are ignored."""
        for name in self._names:
            setattr(self, name, values.get(name))

    def __repr__(self) -> str:
        """Show every field."""
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._names)
        return f"{type(self).__name__}({fields})"


class Client(Fields):
    """The application that called."""

    _names = (
        "installation_id",
        "app_title",
        "app_version_name",
        "app_version_code",
        "app_package_name",
    )


class ClientContext(Fields):
    """What the caller sent as `ClientContext`: `custom`, `env` and `client`."""

    _names = ("custom", "env", "client")


def fill(context: LambdaContext, headers: dict[str, str]) -> None:
    """Fill in the fields of a context that most invocations leave empty.

    Raises:
        Fault: Runtime.LambdaContextUnmarshalError.
    """
    values = _parse(headers.get("lambda-runtime-client-context"), "client context")
    if values is not None:
        if isinstance(w3c := values.pop("w3c", None), dict):
            context._w3c = {k: w3c[k] for k in W3C_FIELDS if isinstance(w3c.get(k), str)}
        context.client_context = ClientContext(values)
        if isinstance(client := values.get("client"), dict):
            context.client_context.client = Client(client)
    values = _parse(headers.get("lambda-runtime-cognito-identity"), "Cognito identity")
    if values is not None:
        context.identity.cognito_identity_id = values.get("cognitoIdentityId")
        context.identity.cognito_identity_pool_id = values.get("cognitoIdentityPoolId")


def _parse(text: str | None, what: str) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        values = json.loads(text)
        if isinstance(values, dict):
            return values
        reason = f"a {type(values).__name__}"
    except ValueError as error:
        reason = str(error)
    raise Fault("Runtime.LambdaContextUnmarshalError", f"The {what} is no JSON object: {reason}")
