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

  defaults =
    { config, ... }:
    {
      imports = [ self.nixosModules.default ];
      # The package that the flake offers, so that no check builds it twice.
      services.aistack.package = lib.mkDefault self.packages.${pkgs.stdenv.hostPlatform.system}.aistack;

      virtualisation = {
        # A machine has 1 GiB of each. One without memory panics, for NixOS' tests want no other process
        # killed in its place; a full disk is told of as a fault of the host. Only what is used is taken.
        memorySize = lib.mkIf config.services.aistack.enable (lib.mkDefault 2048);
        diskSize = lib.mkDefault 4096;
      };
      # There is nobody who gives addresses but QEMU, and who asks would listen beyond loopback.
      networking.useDHCP = lib.mkDefault false;
    };
}
