# The coordinator: what was asked and answered, the solutions learned from it, context for questions.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  own = cfg.coordinator;
  at = "services.aistack.coordinator";
  httpService = import ../lib/http-service.nix { inherit config lib pkgs; };
  listenOptions = import ../lib/listen-options.nix { inherit lib; };
in
{
  options.services.aistack.coordinator = {
    enable = lib.mkEnableOption "the coordinator, which learns solutions from what agents report" // {
      default = true;
    };
  }
  // listenOptions {
    title = "the coordinator";
    port = 8092;
    inherit own;
  };

  config = lib.mkIf (cfg.enable && own.enable) {
    assertions = [
      {
        assertion = own.port != cfg.aidb.port;
        message = "${at}.port and services.aistack.aidb.port are both ${toString own.port}: give each its own.";
      }
    ];

    services.aistack.settings = {
      coordinator = {
        host = own.address;
        port = own.port;
        workers = own.workers;
        allowed_hosts = own.allowedHosts;
      };
      host = {
        units = [ "aistack-coordinator.service" ];
        services.coordinator = "http://${own.endpoint}";
      };
    };

    networking.firewall.allowedTCPPorts =
      lib.mkIf (cfg.openFirewall && !cfg.nginx.enable && !own.onLoopback)
        [
          own.port
        ];

    warnings = lib.optional (!own.onLoopback) ''
      ${at}.address is "${own.address}": the coordinator answers there without TLS, so API keys cross
      the network in clear. Set services.aistack.nginx.enable and leave the address at 127.0.0.1,
      unless that network is private.
    '';

    systemd.services.aistack-coordinator = httpService {
      name = "coordinator";
      description = "coordinator";
    };
  };
}
