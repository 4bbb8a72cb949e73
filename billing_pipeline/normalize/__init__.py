"""Where what was received becomes rows of the registry's tables: invoices, lines, services. Nothing is judged here."""
