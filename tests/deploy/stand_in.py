#!/usr/bin/env python3
"""Stands in for `aws`, `docker`, `sam` and `cdk`, as in an account that is empty at first.

The calls go to $RECORD, one JSON list a line. What was made before is found again by later calls.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import NoReturn

ACCOUNT = "123456789012"
DIGEST = f"sha256:{'5' * 64}"


def record() -> Path:
    """Where the calls are noted."""
    return Path(os.environ["RECORD"])


def option(name: str) -> str:
    """The value of an option of this call."""
    return sys.argv[sys.argv.index(name) + 1]


def made(*words: str) -> bool:
    """Whether an earlier call had all these words."""
    calls = [json.loads(line) for line in record().read_text().splitlines()]
    return any(set(words) <= set(call) for call in calls)


def missing(kind: str) -> NoReturn:
    """Answer that something is not there."""
    sys.exit(f"An error occurred ({kind}NotFoundException): it was not found")


def aws(service: str, operation: str) -> str | None:
    """What the AWS CLI prints."""
    region = os.environ["AWS_REGION"]
    repository = f"{ACCOUNT}.dkr.ecr.{region}.amazonaws.com/{os.environ['PROJECT']}"
    match service, operation:
        case "sts", _:
            return f"arn:aws:iam::{ACCOUNT}:user/somebody"
        case "ecr", "describe-repositories" if not made("create-repository"):
            missing("Repository")
        case "ecr", "create-repository" | "describe-repositories":
            arn = f"arn:aws:ecr:{region}:{ACCOUNT}:repository/{os.environ['PROJECT']}"
            return f'"{arn} {repository}"'
        case "ecr", "describe-images" if not made("docker", "push"):
            missing("Image")
        case "ecr", "describe-images":
            return f'"{DIGEST}"'
        case "iam", "get-role":
            missing("Role")
        case "iam", "create-role":
            return f'"arn:aws:iam::{ACCOUNT}:role/{option("--role-name")}"'
        case "lambda", "get-function":
            missing("Resource")
        case "lambda", "get-function-configuration":
            return '"Active"'
        case "lambda", "get-alias":
            missing("Resource")
        case "lambda", "publish-version" | "list-versions-by-function":
            return '"1"'
        case "lambda", "invoke":
            Path(sys.argv[-1]).write_text("{}")
            return "none e30="
        case "cloudformation", "describe-stacks":
            missing("Stack")
        case _, describe if describe.startswith(("describe", "get", "list")):
            return "null"
    return None


def docker(command: str) -> str | None:
    """What Docker prints."""
    if command == "buildx" and "--iidfile" in sys.argv:
        Path(option("--iidfile")).write_text(DIGEST)
    if "--password-stdin" in sys.argv:
        sys.stdin.read()
    return os.environ["ARCHITECTURE"] if sys.argv[1:3] == ["image", "inspect"] else None


def main() -> None:
    """Note the call, and answer."""
    tool = Path(sys.argv[0]).name
    answer = aws(*sys.argv[1:3]) if tool == "aws" else None
    answer = docker(sys.argv[1]) if tool == "docker" else answer
    with record().open("a") as file:
        file.write(json.dumps([tool, *sys.argv[1:]]) + "\n")
    if answer is not None:
        print(answer)


if __name__ == "__main__":
    main()
