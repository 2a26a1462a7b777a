"""What is seen in a browser: one package, so that its fixtures end when its tests do."""
