"""Whose runs they are: sessions, runs and their outcome."""
