{ pkgs, ... }:
let
  aistack = pkgs.callPackage ./aistack-py/package.nix { };
in
{
  inherit aistack;
  default = aistack;
  docs = pkgs.callPackage ./docs { };
}
