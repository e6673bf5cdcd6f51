"""The certificate that nginx serves: where it comes from, whether it is good, how it is swapped."""
