# The outer wall: what nginx refuses by the client's address, before AIDB sees it.
#
# AIDB itself limits by key, exactly and across hosts. This bounds what an address may cost at all,
# with or without a key.
{ config, lib, ... }:
let
  cfg = config.services.aistack;
  inherit (cfg.settings) limits rate_limits;
  enabled = cfg.enable && cfg.nginx.enable && cfg.nginx.domain != null;

  perAddress = rate_limits.per_minute * cfg.nginx.clientsPerAddress;
in
{
  options.services.aistack.nginx.clientsPerAddress = lib.mkOption {
    type = lib.types.ints.between 1 1000;
    default = 10;
    description = ''
      How many clients may share one address (an office behind NAT). nginx answers 429 to an address
      that asks more than so many times `settings.rate_limits.per_minute`; a client with one key is
      held to that setting itself by AIDB.
    '';
  };

  config = lib.mkIf enabled {
    services.nginx = {
      # 1 MiB holds the state of about 16,000 addresses.
      commonHttpConfig = ''
        # IPv6 counts by /64, which is the least that one customer has.
        map $remote_addr $aistack_client {
          "~^(?<net>[0-9a-f]+:[0-9a-f]+:[0-9a-f]+:[0-9a-f]+):" $net;
          "~^(?<net>[0-9a-f:]+?)::" $net;
          default $binary_remote_addr;
        }
        limit_req_zone $aistack_client zone=aistack_requests:4m rate=${toString perAddress}r/m;
        limit_conn_zone $aistack_client zone=aistack_connections:4m;

        # A client that trickles its header holds nothing for long. It counts here alone: until the
        # header is read, no virtual host is chosen.
        client_header_timeout 10s;
      '';

      virtualHosts.${cfg.nginx.domain}.extraConfig = ''
        client_max_body_size ${toString limits.body_bytes};

        client_body_timeout 10s;
        send_timeout 30s;

        limit_conn aistack_connections 100;
        limit_conn_status 429;
        limit_req_status 429;
      ''
      + lib.optionalString rate_limits.enabled ''
        limit_req zone=aistack_requests burst=${toString perAddress} nodelay;
      '';
    };
  };
}
