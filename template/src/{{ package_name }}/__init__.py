"""The application: one module for each Lambda function in `handlers`, and what they share."""
