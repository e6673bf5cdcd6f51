{
  lib,
  pkgs,
  self,
}:
let
  inherit (self.packages.${pkgs.stdenv.hostPlatform.system}) aistack;

  aistackApp = {
    type = "app";
    program = lib.getExe aistack;
    meta.description = "The aistack command";
  };
in
{
  aistack = aistackApp;
  default = aistackApp;

  demo = {
    type = "app";
    program = lib.getExe (pkgs.callPackage ./demo.nix { inherit aistack; });
    meta.description = "A whole stack in one process, with example documents";
  };
}
