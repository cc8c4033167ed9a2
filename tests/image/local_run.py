"""`local_run.py PROJECT`: what `make dev DOCKER=1` does, and two events for each function.

Prints, on the last line, the answers as JSON.
"""

import json
import sys
import urllib.request
from pathlib import Path

project = Path(sys.argv[1])
sys.path.insert(0, str(project / "local"))

import dev  # type: ignore[import-not-found]  # noqa: E402

import image_runtime  # noqa: E402
from lambda_server import LambdaServer  # noqa: E402

answers: dict[str, list[object]] = {}
with LambdaServer(dev.functions(), image_runtime.build(), dev.TASK_ROOT) as server:
    for name in server.functions:
        for event in ({}, {"refresh": "no boolean"}):
            request = urllib.request.Request(  # noqa: S310
                f"{server.endpoint_url}/2015-03-31/functions/{name}/invocations",
                json.dumps(event).encode(),
            )
            with urllib.request.urlopen(request) as answer:  # noqa: S310
                answers.setdefault(name, []).append(json.load(answer))
print(json.dumps(answers))
