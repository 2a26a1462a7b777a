"""How frames leave and commands arrive: Litestar's half of the house, which knows one object, the RunRegistry."""
