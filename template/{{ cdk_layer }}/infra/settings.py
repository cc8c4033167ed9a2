"""What differs between stages and deployments: context of cdk.json and of `cdk synth -c …`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Self

from aws_cdk.aws_lambda import ApplicationLogLevel
from constructs import Node

NO_DIGEST = f"sha256:{'0' * 64}"


@dataclass(frozen=True)
class Settings:
    """The settings of one stage.

    Attributes:
        stage: Stands in all names, so that stages live side by side.
        image_digest: The image in the project's repository; looking at the template needs none.
        log_level: DEBUG, INFO, WARN, ERROR or FATAL.
        alarm_topic_arn: The SNS topic that hears of alarms, or nothing.
        permissions_boundary_arn: The policy that bounds the roles of the functions, or nothing.
        resource_tags: Of every resource, besides `project` and `stage`.

    Raises:
        ValueError: A setting cannot be what it is.
    """

    stage: str = "dev"
    image_digest: str = NO_DIGEST
    log_level: str = "INFO"
    alarm_topic_arn: str = ""
    permissions_boundary_arn: str = ""
    resource_tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the settings."""
        if not re.fullmatch("[a-z][a-z0-9]{0,9}", self.stage):
            raise ValueError(
                f"{self.stage!r} cannot be a stage; use up to 10 lower-case letters and digits"
            )
        if not re.fullmatch("sha256:[0-9a-f]{64}", self.image_digest):
            raise ValueError(f"{self.image_digest!r} is no digest; give one such as {NO_DIGEST!r}")
        if self.log_level not in ApplicationLogLevel.__members__:
            raise ValueError(f"{self.log_level!r} is no log level; use one such as 'INFO'")

    @classmethod
    def from_context(cls, node: Node) -> Self:
        """Read them from the context of a construct's node; what is missing takes its default."""
        values = {name: node.try_get_context(name) for name in cls.__dataclass_fields__}
        return cls(**{name: value for name, value in values.items() if value is not None})
