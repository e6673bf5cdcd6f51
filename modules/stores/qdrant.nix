# Qdrant, the index: derived from PostgreSQL, so never the only copy of anything.
{ config, lib, ... }:
let
  cfg = config.services.aistack;
  given = import ../lib/given.nix { inherit lib; };
  lasting = import ../lib/lasting.nix { inherit lib; };
  store = cfg.qdrant;
  at = "services.aistack.qdrant";
  inherit (config.services.qdrant.settings) service;
  clearText =
    store.url != null
    && lib.hasPrefix "http://" store.url
    && builtins.match "http://(localhost|127\\.[0-9.]+|\\[::1])([:/].*)?" store.url == null;
in
{
  options.services.aistack.qdrant = {
    createLocally = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = ''
        Whether to run Qdrant on this host, on loopback and with an API key. Its other settings are
        {option}`services.qdrant.settings`.
      '';
    };

    url = lib.mkOption {
      type = lib.types.nullOr (lib.types.strMatching "https?://[^@]+");
      default = null;
      example = "https://qdrant.internal:6333";
      description = "Where Qdrant's REST API is, if {option}`${at}.createLocally` is off.";
    };

    apiKeyFile = lib.mkOption {
      type = lib.types.nullOr lib.types.externalPath;
      default = null;
      example = "/run/secrets/qdrant-api-key";
      description = ''
        A file with Qdrant's API key; only root need read it. A Qdrant elsewhere is asked with it;
        the one on this host is given it, and with `null` makes its own.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = store.createLocally || store.url != null;
        message = ''
          ${at}.createLocally is off and ${at}.url is null: there is no index. Set one of them.
        '';
      }
      {
        assertion = store.createLocally -> store.url == null;
        message = ''
          ${at}.url (${toString store.url}) is set, but ${at}.createLocally is on: it would not be
          used. Set ${at}.createLocally = false for a Qdrant elsewhere.
        '';
      }
    ];

    warnings = lib.optional (clearText && store.apiKeyFile != null) ''
      ${at}.url (${store.url}) is not https: the API key crosses the network in clear. Use https, or
      a network that nobody else reads.
    '';

    services.qdrant = lib.mkIf store.createLocally {
      enable = true;
      settings.service = {
        # Else a request could make the server fetch any address of this network.
        enable_snapshot_url_recovery = lib.mkDefault false;
        # Over the default of services.qdrant, under what a host says.
        enable_cors = lib.mkOverride 900 false;
      };
    };

    systemd.services.qdrant = lib.mkIf store.createLocally lasting;

    services.aistack = {
      credentials = given { qdrant-api-key = store.apiKeyFile; };

      settings.host.units = lib.mkIf store.createLocally [ "qdrant.service" ];
      settings.qdrant = {
        url =
          if store.createLocally then "http://${service.host}:${toString service.http_port}" else store.url;
      }
      // lib.optionalAttrs (store.createLocally || store.apiKeyFile != null) {
        api_key_file = "credential:qdrant-api-key";
      };
    };
  };
}
