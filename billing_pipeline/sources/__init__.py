"""Where operators' documents are fetched: one small class per protocol. No parsing into lines, no storage, no Dagster.

A source is asked for one period and answers with a `Collection`: the documents it kept and what they prove.
To add one: a class with `collect` (see collection.Source), its models in config.py, a line in open_source (steps/collect.py).
"""
