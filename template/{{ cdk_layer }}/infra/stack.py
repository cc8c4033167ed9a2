"""The stack of one stage."""

from __future__ import annotations

import tomllib
from pathlib import Path

from aws_cdk import BootstraplessSynthesizer, CfnOutput, Stack, Tags
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct

from . import facts, own
from .handler_function import HandlerFunction
from .settings import Settings

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


class ApplicationStack(Stack):
    """All functions of the application, in one stage.

    Attributes:
        functions: The end of a function's name -> the function, with all that belongs to it.
    """

    def __init__(self, scope: Construct, settings: Settings) -> None:
        """Define the stack `<project>-<stage>`, for whatever account it is deployed to."""
        name = f"{facts.PROJECT}-{settings.stage}"
        tags = {"project": facts.PROJECT, **settings.resource_tags, "stage": settings.stage}
        description = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["description"]
        super().__init__(
            scope,
            name,
            stack_name=name,
            description=description[:250],  # CloudFormation takes 1024 bytes
            tags=tags,
            # The image is pushed before, and nothing else is uploaded: so the account need not be
            # bootstrapped. With assets of your own, run `cdk bootstrap` and remove this line.
            synthesizer=BootstraplessSynthesizer(),
        )
        for key, value in tags.items():
            Tags.of(self).add(key, value)

        # Made by scripts/push.sh: all stages share it, and the image is there before the stack.
        repository = ecr.Repository.from_repository_name(self, "Repository", facts.PROJECT)
        alarm_topic = permissions_boundary = None
        if settings.alarm_topic_arn:
            alarm_topic = sns.Topic.from_topic_arn(self, "AlarmTopic", settings.alarm_topic_arn)
        if settings.permissions_boundary_arn:
            permissions_boundary = iam.ManagedPolicy.from_managed_policy_arn(
                self, "PermissionsBoundary", settings.permissions_boundary_arn
            )

        self.functions = {
            function.name: HandlerFunction(
                self,
                function,
                settings,
                repository,
                alarm_topic=alarm_topic,
                permissions_boundary=permissions_boundary,
            )
            for function in facts.FUNCTIONS
        }
        CfnOutput(
            self,
            "ImageUri",
            value=repository.repository_uri_for_digest(settings.image_digest),
        )
        own.extend(self, settings)
