"""The uvicorn we run: its sockets, its protocols, and its way of going away."""
