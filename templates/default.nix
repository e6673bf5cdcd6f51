# What `nix flake init -t` offers.
{
  default = {
    path = ./host;
    description = "A NixOS host that serves a knowledge base to its network";
    welcomeText = ''
      # aistack

      - `flake.nix`: name where aistack comes from
      - `host.nix`: everything that says CHANGE
      - `hardware.nix`: put `nixos-generate-config --show-hardware-config` there

      Then: `git add . && nixos-rebuild switch --flake .#kb`
    '';
  };
}
