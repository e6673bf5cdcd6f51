{ pkgs, self, ... }:
{
  default = pkgs.callPackage ./default-shell.nix {
    inherit (self.packages.${pkgs.stdenv.hostPlatform.system}) aistack;
  };
}
