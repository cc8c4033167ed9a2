"""What the tests of deployments share: recorded deployments, and facts read out of each form."""
