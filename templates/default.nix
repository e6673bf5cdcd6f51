# What `nix flake init -t` offers.
{
  default = {
    path = ./host;
    description = "A NixOS host that serves a knowledge base to its network";
    welcomeText = ''
      # aistack

      - `flake.nix`: name where aistack comes from
      - `host.nix`: the name under which clients reach this host
      - `configuration.nix`: yours of /etc/nixos, with hardware-configuration.nix beside it

      Then: `git add . && nixos-rebuild switch --flake .#kb`
    '';
  };
}
