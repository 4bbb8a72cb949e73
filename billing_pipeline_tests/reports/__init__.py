"""The workbooks as a spreadsheet program opens them."""
