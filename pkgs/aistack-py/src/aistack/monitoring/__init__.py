"""Every metric of the product."""
