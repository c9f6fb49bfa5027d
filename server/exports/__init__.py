"""The ledger as files: one per business day, never changed, each transfer in exactly one of them."""
