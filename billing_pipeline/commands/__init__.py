"""What each command of the command line does and prints. Arguments and exit codes are cli.py's, work is done elsewhere."""
