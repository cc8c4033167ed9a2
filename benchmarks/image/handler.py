"""What all images run: a function that makes an SDK client, as most do, and returns the event."""

import json
import logging
from typing import Any

import boto3

logging.getLogger().setLevel("INFO")
client = boto3.client("lambda", region_name="us-east-1")


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Return the event."""
    logging.getLogger().info("Event: %s", json.dumps(event))
    return event


lambda_handler = handler
