"""The JSON API below /api/v1: every module holds the routes of one idea in a table called ``ROUTES``."""
