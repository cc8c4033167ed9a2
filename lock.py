"""Pin the dependencies of rendered projects anew: part of `make lock`.

What a project's dependencies are is said in its pyproject.toml alone. Each combination that has
others is rendered, locked by the project's own `make upgrade`, and the result is put where the
template renders it from.
"""

import shutil
import subprocess
import tempfile
from itertools import product
from pathlib import Path

import copier

TEMPLATE = Path(__file__).parent / "template"


def main() -> None:
    """Lock every combination of runtime style and infrastructure."""
    for runtime_style, iac in product(("managed", "custom"), ("sam", "cdk", "cli")):
        layer = TEMPLATE / f"{{{{ {runtime_style}_layer }}}}" / f"{{{{ {iac}_layer }}}}"
        with tempfile.TemporaryDirectory() as project:
            copier.run_copy(
                str(TEMPLATE.parent),
                project,
                data={"runtime_style": runtime_style, "iac": iac},
                defaults=True,
                quiet=True,
                vcs_ref="HEAD",
            )
            # The tools come from the environment that this runs in, not from one of the project's.
            make = ["make", "--silent", "--assume-old=.venv/ready", "upgrade"]
            subprocess.run(make, cwd=project, check=True)
            layer.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(project, "requirements-dev.txt"), layer)
            shutil.copy(Path(project, "requirements.txt"), TEMPLATE)
        print(f"locked {runtime_style} {iac}")


if __name__ == "__main__":
    main()
