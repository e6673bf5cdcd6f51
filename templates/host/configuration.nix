# CHANGE: copy /etc/nixos/configuration.nix over this, and hardware-configuration.nix beside it: they
# have your users, your network and what the machine needs to boot.
{
  boot.loader.systemd-boot.enable = true;
  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };
  nixpkgs.hostPlatform = "x86_64-linux";
  # The release that was installed first.
  system.stateVersion = "26.05";
}
