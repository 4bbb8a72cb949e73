"""Re-invoicing the reseller's own customers, so that whatever crashes or times out nobody is invoiced twice.

plan.py says what each customer is to be invoiced; documents.py what is sent and what came back; api.py asks; record.py is
what became of one invoice, folded from its events; books.py writes every event in the journal and in the table before
the next call; sequence.py and credit.py are the order of calls. Nothing here reads the operators' documents.
"""
