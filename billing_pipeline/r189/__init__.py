"""R189 charge files: what one delivered file says, exactly. Nothing here knows of other files, partitions or tables.

How data flows through the modules:

    opening ──────> blocks ─────────> cells ──────────> rules ───────────> reader
    bytestream:     text cells by     typed columns,    facts about each   charges and rejected rows,
    gunzip, hash,   record, fast      unreadable        row, judged by     batch by batch
    UTF-8; header   (scan) or exact   cells             pandera
                    (tokenizer)

    detect, votes   one pass over the cells of the number, date, month and rate columns: which style the file is in
    profile         what was found: the file's dialect, where its columns stand
    number_styles, date_styles   what a cell means under one style
    vocabulary      the words of document types and frequencies
    rejections      why a row was left out, without personal data; the table of checks is in reader.py
    naming          what a file's name says: its month, its place among versions

A file is read twice, by detect and by reader, so that no cell is read before all of them have been seen; memory is
that of a block. A new style of cell is one entry in number_styles.py or date_styles.py and in config.Profile; a new
row rule is one field of rules.RowFacts and its line in rules.RULES.
"""
