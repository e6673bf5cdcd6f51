# Example hosts: each is evaluated and built by the checks, so none of them can rot.
{ lib, self }:
{
  example = lib.nixosSystem {
    modules = [
      self.nixosModules.default
      ./example
    ];
  };
}
