"""PostgreSQL as programs and data folders: what is installed, and servers for us alone."""
