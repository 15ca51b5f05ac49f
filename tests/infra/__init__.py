"""Reads CloudFormation templates and SSM documents for the tests; deploys and judges nothing."""
