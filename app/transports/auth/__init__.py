"""Who is calling (P6.1, P6.2): API keys, JWT, tickets, and the guard that asks for one of them at every door."""
