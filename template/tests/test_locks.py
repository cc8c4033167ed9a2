"""What the tests run with is what the image gets."""

import re

from dev import PROJECT


def pins(lock: str) -> dict[str, str]:
    """Package -> version in a lock."""
    text = (PROJECT / lock).read_text()
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))


def test_both_locks_pin_the_same_versions() -> None:
    functions, tests = pins("requirements.txt"), pins("requirements-dev.txt")
    differing = {name: (pin, tests.get(name)) for name, pin in functions.items()}
    differing = {name: two for name, two in differing.items() if two[0] != two[1]}
    assert differing == {}, "run `make lock`"
