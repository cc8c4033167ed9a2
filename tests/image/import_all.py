"""Import every extension module of the standard library; prints how many, and which fail."""

import importlib
import json
import sys
import sysconfig
from pathlib import Path

directory = Path(sysconfig.get_path("platstdlib"), "lib-dynload")
names = {path.name.partition(".")[0] for path in directory.glob("*.so")}
names.update(sys.builtin_module_names)
failed = {}
for name in sorted(names):
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed[name] = str(error)
print(json.dumps({"count": len(names), "failed": failed}))
