"""The entry points: each module's `handler` is one Lambda function."""
