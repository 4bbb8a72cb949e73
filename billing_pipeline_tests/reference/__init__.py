"""A second, slow and obvious reading of the domain rules, to hold the pipeline's answers against.

Plain Python, one service and one day at a time; nothing here is imported by the pipeline, and nothing of
billing_pipeline.r189 or billing_pipeline.reconciliation is imported here, so that a mistake has to be made twice.
"""
