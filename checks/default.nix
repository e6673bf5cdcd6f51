# One file a check. `nix flake check` runs all of them, `nix build .#checks.x86_64-linux.NAME` one.
{
  lib,
  pkgs,
  self,
}:
let
  inherit (pkgs.stdenv.hostPlatform) system;
  packages = self.packages.${system};
  # A host of one platform, built for each.
  here =
    host: (host.extendModules { modules = [ { nixpkgs.hostPlatform = lib.mkForce system; } ]; }).config;
  example = here self.nixosConfigurations.example;
  built = host: (here host).system.build.toplevel;
  template = (import ../templates/host/flake.nix).outputs {
    nixpkgs = { inherit lib; };
    aistack = self;
  };
  vm = import ./lib/vm.nix { inherit lib pkgs self; };
in
{
  devShell = self.devShells.${system}.default;
  docs = import ./docs.nix { inherit pkgs packages self; };
  eval = import ./eval { inherit lib pkgs self; };
  example = example.system.build.toplevel;
  minimal = built self.nixosConfigurations.minimal;
  template = built template.nixosConfigurations.kb;
  formatting = import ./formatting.nix { inherit lib pkgs; };
  manual = import ./manual.nix { inherit pkgs packages; };
  package = import ./package.nix { inherit (packages) aistack; };
  sbom = import ./sbom.nix {
    inherit packages pkgs;
    config = example;
  };
  scripts = import ./scripts.nix {
    inherit lib pkgs;
    config = example;
  };

  # These boot machines.
  aidb = vm ./aidb.nix;
  backup = vm ./backup.nix;
  certificate = vm ./certificate.nix;
  console = vm ./console.nix;
  coordinator = vm ./coordinator.nix;
  external = vm ./external.nix;
  fault = vm ./fault.nix;
  gc = vm ./gc.nix;
  guards = vm ./guards.nix;
  hardening = vm ./hardening.nix;
  health = vm ./health.nix;
  issues = vm ./issues.nix;
  monitoring = vm ./monitoring.nix;
  network = vm ./network.nix;
  rolling = vm ./rolling.nix;
  pitr = vm ./pitr.nix;
  postgresql-upgrade = vm ./postgresql-upgrade.nix;
  restore = vm ./restore.nix;
  secrets = vm ./secrets.nix;
  switch = vm ./switch.nix;
  tls-acme = vm ./tls-acme.nix;
  tls-certbot = vm ./tls-certbot.nix;
  tutorial = vm (import ./tutorial.nix { inherit self; });
  upgrade = vm ./upgrade.nix;
}
