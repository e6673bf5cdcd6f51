{
  description = "A host with aistack";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
    aistack = {
      # CHANGE: where you have it from, as github:OWNER/aistack or git+ssh://HOST/aistack.
      url = "path:../aistack";
      # One nixpkgs for the host and for aistack.
      inputs.nixpkgs.follows = "nixpkgs";
    };
  };

  outputs =
    { nixpkgs, aistack, ... }:
    {
      nixosConfigurations.kb = nixpkgs.lib.nixosSystem {
        modules = [
          aistack.nixosModules.default
          ./configuration.nix
          ./host.nix
        ];
      };
    };
}
