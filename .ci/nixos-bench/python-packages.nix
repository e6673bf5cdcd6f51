# nixpkgs's attribute name -> name on PyPI, for what the bench's own table lacks.
{
  docutils = "docutils";
  pypdf = "pypdf";
  pystemmer = "pystemmer";
  types-docutils = "types-docutils";
}
