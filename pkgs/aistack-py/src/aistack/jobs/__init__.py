"""The ledger of one-shot jobs, and the metrics made from it."""
