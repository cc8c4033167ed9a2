"""Choose the handler that the environment variable HANDLER names.

The image starts this module's `handler` when its command names no other. Only the chosen handler's
module is imported, so that a function pays for nothing but its own dependencies.
"""

import os
from importlib import import_module
from typing import Any

from . import handlers


def load(name: str | None) -> Any:
    """Return the handler `name`, in snake or kebab form.

    Raises:
        LookupError: there is no such handler; the message lists those that there are.
    """
    module = (name or "").replace("-", "_")
    if module.isidentifier() and not module.startswith("_"):
        full_name = f"{handlers.__name__}.{module}"
        try:
            return import_module(full_name).handler
        except ModuleNotFoundError as error:
            if error.name != full_name:  # the handler is there, and misses a dependency
                raise

    from pkgutil import iter_modules  # slow to import, and only needed here

    names = ", ".join(sorted(module.name for module in iter_modules(handlers.__path__)))
    problem = f"HANDLER is {name!r}, which is no handler" if name else "HANDLER is not set"
    raise LookupError(f"{problem}; set it to one of: {names}")


handler = load(os.environ.get("HANDLER"))
