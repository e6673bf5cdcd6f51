{
  description = "aistack: a self-hosted knowledge base with hybrid search over HTTP and MCP";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      # What every folder below is given: the package set of one system, and the flake.
      forEachSystem =
        f:
        lib.genAttrs systems (
          system:
          f {
            inherit lib self;
            pkgs = nixpkgs.legacyPackages.${system};
          }
        );
    in
    {
      nixosModules.default = ./modules;
      nixosConfigurations = import ./hosts { inherit lib self; };
      overlays.default = import ./pkgs/overlay.nix;
      templates = import ./templates;
      packages = forEachSystem (import ./pkgs);
      apps = forEachSystem (import ./apps);
      checks = forEachSystem (import ./checks);
      devShells = forEachSystem (import ./devshells);
      formatter = forEachSystem ({ pkgs, ... }: pkgs.nixfmt-tree);
    };
}
