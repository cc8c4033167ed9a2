"""A client of the Lambda Runtime API. Read `loop` first; every other module is imported on demand.

loop        start, next, handler, response: all that a usual invocation runs
failures    what goes wrong: error bodies, init errors, exits, lost connections
codec       JSON beyond the C codec: Decimal, namedtuple, bytes, every complaint about bad JSON
results     results that are no plain JSON types
identity    client context, Cognito identity and W3C trace context
telemetry   where log messages go: standard output, or frames on Lambda's telemetry descriptor
logs        the root handler of `logging`, and its text
json_logs   log records as JSON
streaming   generators as responses, and HttpStream for Function URLs
coroutines  async handlers
snapstart   hooks around a snapshot
workers     several processes for AWS_LAMBDA_MAX_CONCURRENCY
"""
