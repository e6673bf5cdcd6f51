"""What may go, and why: a file for each tier. They read, and yield steps."""
