{
  lib,
  pkgs,
  self,
}:
let
  inherit (pkgs.stdenv.hostPlatform) system;
in
{
  package = import ./package.nix { inherit (self.packages.${system}) aistack; };
  devShell = self.devShells.${system}.default;
}
