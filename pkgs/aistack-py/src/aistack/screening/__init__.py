"""Suspicious content: found, counted, and refused only where the settings say so."""
