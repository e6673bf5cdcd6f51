"""The console: a status page for people, below /console/, behind an admin key."""
