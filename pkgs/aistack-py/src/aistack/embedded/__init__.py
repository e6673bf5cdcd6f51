"""The PostgreSQL server that the demo and the tests bring along."""
