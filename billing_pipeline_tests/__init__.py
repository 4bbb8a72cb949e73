"""Tests by tier: unit, house, r189, reconciliation, reference and sandbox need no server; the others start real ones."""
