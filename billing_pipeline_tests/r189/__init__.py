"""Tests of reading R189 charge files. Input is made here, byte by byte; no file outside the repository is read."""
