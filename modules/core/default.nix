# The switch, the package, the user, and what ties all units together.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
in
{
  imports = [
    ./cli.nix
    ./collections.nix
    ./credentials.nix
    ./migrate.nix
    ./secrets.nix
    ./settings.nix
  ];

  options.services.aistack = {
    enable = lib.mkEnableOption "aistack, a knowledge base with hybrid search over HTTP and MCP";

    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.callPackage ../../pkgs/aistack-py/package.nix { };
      defaultText = lib.literalExpression "pkgs.callPackage ./pkgs/aistack-py/package.nix { }";
      description = "The aistack package: the command and the Python library of every service.";
    };

    openFirewall = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = ''
        Whether to open the firewall for what this host serves: HTTP and HTTPS where
        {option}`services.aistack.nginx.enable` is set, else the port of each service that listens
        beyond loopback.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    # A name that never changes: PostgreSQL's peer authentication knows the role by it.
    users.users.aistack = {
      isSystemUser = true;
      group = "aistack";
      description = "aistack services";
    };
    users.groups.aistack = { };

    systemd.targets.aistack = {
      description = "The aistack services";
      wantedBy = [ "multi-user.target" ];
    };

    # One place to bound or account for everything of ours.
    systemd.slices.aistack.description = "The aistack services";

    assertions = [
      {
        assertion =
          cfg.openFirewall
          ->
            cfg.nginx.enable || !cfg.aidb.onLoopback || (cfg.coordinator.enable && !cfg.coordinator.onLoopback);
        message = ''
          services.aistack.openFirewall is set, but nothing listens beyond loopback
          (services.aistack.aidb.address is "${cfg.aidb.address}"). Set services.aistack.nginx.enable,
          or an address that other hosts reach.
        '';
      }
    ];
  };
}
