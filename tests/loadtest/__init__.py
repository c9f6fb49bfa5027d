"""Tests of the capacity tool."""
