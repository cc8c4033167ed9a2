"""What the runtime tells a handler about its invocation, as far as this application uses it."""

from typing import Protocol


class LambdaContext(Protocol):
    """The context object, the second argument of every handler.

    Source: "Using the Lambda context object to retrieve Python function information" in the AWS
    Lambda developer guide, which lists the other fields.
    """

    aws_request_id: str
    function_name: str
    function_version: str
    memory_limit_in_mb: str

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds that are left before Lambda ends the invocation."""
