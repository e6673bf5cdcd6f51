# Redis: caches and counters. The stack works without it, only slower.
{ config, lib, ... }:
let
  cfg = config.services.aistack;
  credentials = import ../lib/credentials.nix { inherit lib; };
  given = import ../lib/given.nix { inherit lib; };
  lasting = import ../lib/lasting.nix { inherit lib; };
  store = cfg.redis;
  at = "services.aistack.redis";
  server = config.services.redis.servers.aistack;
in
{
  options.services.aistack.redis = {
    createLocally = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = ''
        Whether to run a Redis server `aistack` on this host, reached by its socket; it has no TCP
        port. Its other settings are {option}`services.redis.servers.aistack`.
      '';
    };

    url = lib.mkOption {
      type = lib.types.nullOr (lib.types.strMatching "rediss?://.+");
      default = null;
      example = "rediss://redis.internal:6379/0";
      description = ''
        A Redis elsewhere, without a password, where {option}`${at}.createLocally` is off. With
        `null`, the stack runs without Redis.
      '';
    };

    passwordFile = lib.mkOption {
      type = lib.types.nullOr lib.types.externalPath;
      default = null;
      example = "/run/secrets/aistack-redis";
      description = "A file with the password for {option}`${at}.url`; only root need read it.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = store.createLocally -> store.url == null && store.passwordFile == null;
        message = ''
          ${at}.url (${toString store.url}) or .passwordFile is set, but ${at}.createLocally is on:
          they would not be used. Set ${at}.createLocally = false for a Redis elsewhere.
        '';
      }
      {
        assertion = store.passwordFile != null -> store.url != null;
        message = "${at}.passwordFile is set, but ${at}.url is null: name the server that it is for.";
      }
      {
        assertion =
          store.url != null
          -> builtins.match "([a-z]+://[^/@]*:[^/@]+@.*)|(.*[?&]password=.*)" store.url == null;
        message = ''
          ${at}.url contains a password, which everyone could read in the store. Take it out of the
          URL and set ${at}.passwordFile.
        '';
      }
    ];

    services.redis.servers.aistack = lib.mkIf store.createLocally {
      enable = true;
      # A cache: what does not fit goes, oldest use first, and nothing is written to disk.
      save = lib.mkDefault [ ];
      settings = {
        maxmemory = lib.mkDefault "256mb";
        maxmemory-policy = lib.mkDefault "allkeys-lru";
      };
    };

    systemd.services.redis-aistack = lib.mkIf store.createLocally lasting;

    services.aistack = {
      socketGroups = lib.mkIf store.createLocally [ server.group ];
      credentials = given { redis-password = store.passwordFile; };

      settings.host.units = lib.mkIf store.createLocally [ "redis-aistack.service" ];
      settings.redis = given {
        url = if store.createLocally then "unix://${server.unixSocket}" else store.url;
        password_file = credentials.reference "redis-password" store.passwordFile;
      };
    };
  };
}
