"""Connections and pools: open, close, ping, translate errors; no product words."""
