# file: a check that boots machines which have the module; its path, or the module itself.
{
  lib,
  pkgs,
  self,
}:
file:
pkgs.testers.runNixOSTest {
  imports = [ file ];

  # Seconds; a machine that hangs is a failure, not a night.
  globalTimeout = 15 * 60;

  defaults = {
    imports = [ self.nixosModules.default ];
    # The package that the flake offers, so that no check builds it twice.
    services.aistack.package = lib.mkDefault self.packages.${pkgs.stdenv.hostPlatform.system}.aistack;
  };
}
