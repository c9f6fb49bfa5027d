"""Tests of what everything stands on: settings, servers, schema, logs, processes."""
