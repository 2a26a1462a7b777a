"""How events are said: the Dialect port, one module per wire vocabulary, and the frames that viewers share."""
