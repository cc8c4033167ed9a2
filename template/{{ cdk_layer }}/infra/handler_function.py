"""A Lambda function from the project's image, with all that belongs to it."""

from __future__ import annotations

from aws_cdk import Acknowledgment, CfnOutput, Duration, RemovalPolicy, Validations
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as cloudwatch_actions
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from constructs import Construct

from . import facts
from .settings import Settings


class HandlerFunction(Construct):
    """A function, its role, its log group, its alias `live` and its alarms."""

    def __init__(
        self,
        scope: Construct,
        function: facts.FunctionFacts,
        settings: Settings,
        repository: ecr.IRepository,
        *,
        alarm_topic: sns.ITopic | None = None,
        permissions_boundary: iam.IManagedPolicy | None = None,
    ) -> None:
        """Define it as `function.construct_id` in `scope`, from the image in `repository`."""
        super().__init__(scope, function.construct_id)
        name = f"{facts.PROJECT}-{settings.stage}-{function.name}"

        log_group = logs.LogGroup(
            self,
            "LogGroup",
            log_group_name=f"/aws/lambda/{name}",
            retention=facts.LOG_RETENTION,
            removal_policy=RemovalPolicy.DESTROY,
        )

        # A role of our own: the one that the construct would make may write to all log groups.
        role = iam.Role(
            self,
            "Role",
            description=f"Role of the function {name}",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            permissions_boundary=permissions_boundary,
        )
        log_group.grant_write(role)
        role.add_to_policy(
            iam.PolicyStatement(actions=["lambda:GetAccountSettings"], resources=["*"])
        )
        Validations.of(role).acknowledge(
            Acknowledgment(
                id="AwsSolutions-IAM5[Resource::*]",
                reason="lambda:GetAccountSettings and X-Ray's two actions take no resource",
            ),
        )

        self.function = lambda_.DockerImageFunction(
            self,
            "Function",
            function_name=name,
            description="Invoke the alias live",
            code=lambda_.DockerImageCode.from_ecr(
                repository,
                tag_or_digest=settings.image_digest,
                cmd=[function.command] if function.command else None,
            ),
            architecture=facts.ARCHITECTURE,
            memory_size=facts.MEMORY_SIZE,
            timeout=facts.TIMEOUT,
            ephemeral_storage_size=facts.EPHEMERAL_STORAGE,
            tracing=lambda_.Tracing.ACTIVE,
            logging_format=lambda_.LoggingFormat.JSON,
            application_log_level_v2=lambda_.ApplicationLogLevel[settings.log_level],
            log_group=log_group,
            role=role,
            environment={
                "STAGE": settings.stage,
                "LOG_LEVEL": settings.log_level,
                **function.environment,
            },
        )

        # `live` begins with the version that comes with the function, and no later change of the
        # stack moves it: scripts/live.sh publishes the change as a version, tests it, and then
        # does. Only a change of the alias itself sets it back until the deployment ends.
        first_version = lambda_.Version(
            self, "FirstVersion", lambda_=self.function, removal_policy=RemovalPolicy.RETAIN
        )
        self.alias = lambda_.Alias(self, "Live", alias_name="live", version=first_version)

        alarms = {
            "Errors": self.function.metric_errors(period=Duration.minutes(1)),
            "Throttles": self.function.metric_throttles(period=Duration.minutes(1)),
        }
        for kind, metric in alarms.items():
            alarm = cloudwatch.Alarm(
                self,
                f"{kind}Alarm",
                alarm_name=f"{name}-{kind.lower()}",
                alarm_description=f"{kind} of the function {name}",
                metric=metric,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
                threshold=0,
                evaluation_periods=1,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            )
            if alarm_topic:
                alarm.add_alarm_action(cloudwatch_actions.SnsAction(alarm_topic))

        CfnOutput(self, "FunctionArn", value=self.function.function_arn)
        CfnOutput(self, "AliasArn", value=self.alias.function_arn)
        CfnOutput(self, "LogGroupName", value=log_group.log_group_name)
