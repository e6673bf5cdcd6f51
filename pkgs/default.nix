{ pkgs, ... }:
let
  aistack = pkgs.callPackage ./aistack-py/package.nix { };
in
{
  inherit aistack;
  default = aistack;
  sbom = pkgs.callPackage ./sbom { inherit aistack; };
  docs = pkgs.callPackage ./docs { };
}
