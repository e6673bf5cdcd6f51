"""The issue tracker: what goes wrong, grouped, counted, explained."""
