"""How much one client may ask: rates, who is counted, and what happens without Redis."""
