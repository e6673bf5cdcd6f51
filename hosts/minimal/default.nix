# The least that answers: a knowledge base on this host alone, at http://127.0.0.1:8091.
{
  services.aistack.enable = true;

  # CHANGE: what your machine needs to boot.
  nixpkgs.hostPlatform = "x86_64-linux";
  boot.loader.grub.device = "/dev/sda";
  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };

  # The release that was installed first; see its option before changing it.
  system.stateVersion = "26.05";
}
