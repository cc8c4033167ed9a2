"""What `cdk` runs: the stack of the stage that the context names, checked with cdk-nag."""

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from infra.settings import Settings
from infra.stack import ApplicationStack

app = App()
ApplicationStack(app, Settings.from_context(app.node))
Validations.of(app).add_plugins(AwsSolutionsChecks(app))
app.synth()
