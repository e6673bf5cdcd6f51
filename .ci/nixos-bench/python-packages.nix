# nixpkgs's attribute name -> name on PyPI, for what the bench's own table lacks.
{
  pypdf = "pypdf";
  pystemmer = "pystemmer";
  sentry-sdk = "sentry-sdk";
}
