"""What people ask about the past, of the ledger and the fleet: the asking, its answers, and their plain form."""
