# Example hosts: each is evaluated and built by the checks, so none of them can rot.
{ lib, self }:
lib.mapAttrs
  (
    _: host:
    lib.nixosSystem {
      modules = [
        self.nixosModules.default
        host
      ];
    }
  )
  {
    example = ./example;
    minimal = ./minimal;
  }
