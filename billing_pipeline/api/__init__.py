"""The results over HTTP, read-only, in the billing hub's shapes: routes, parameters, keys, answers, the server.

What a member shows is declared in reports/hub_shapes.py, connections are storage/reading.py's. Nothing is computed here
that is not already in a table.
"""
