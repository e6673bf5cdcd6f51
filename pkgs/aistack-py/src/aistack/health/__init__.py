"""What is known of the parts that a service depends on, and of the service itself."""
