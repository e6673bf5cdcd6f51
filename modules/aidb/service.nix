# The unit that serves AIDB.
{ config, lib, ... }:
let
  cfg = config.services.aistack;
  hardening = import ../lib/hardening.nix { inherit lib; };

  remoteEndpoint =
    cfg.embeddings.endpoint != null
    && builtins.match "https?://(127\\..*|localhost[:/].*|\\[::1].*)" cfg.embeddings.endpoint == null;
  onlyThisHost =
    cfg.aidb.onLoopback
    && cfg.postgresql.createLocally
    && cfg.qdrant.createLocally
    && cfg.redis.url == null
    && !remoteEndpoint;
  shutdownSeconds = cfg.settings.aidb.shutdown_s or 20;
in
{
  config = lib.mkIf cfg.enable {
    systemd.services.aistack-aidb = {
      description = "aistack knowledge base (AIDB)";
      wantedBy = [ "aistack.target" ];
      partOf = [ "aistack.target" ];
      # Nothing is required: without Qdrant, Redis or the model it starts and says what it cannot do;
      # without the database, or with an older schema, it ends and tries again.
      wants = [ "aistack-migrate.service" ] ++ lib.optional (!onlyThisHost) "network-online.target";
      after = [
        "aistack-migrate.service"
      ]
      ++ lib.optional (!onlyThisHost) "network-online.target"
      ++ lib.optional cfg.qdrant.createLocally "qdrant.service"
      ++ lib.optional cfg.redis.createLocally "redis-aistack.service"
      ++ lib.optional (cfg.embeddings.llamaCpp.model != null) "llama-cpp.service";

      # A database may be away for an hour: never given up, only tried more slowly.
      startLimitIntervalSec = 0;

      # The file's name changes with its text, so a changed setting restarts the service.
      environment.AISTACK_CONFIG = toString config.environment.etc."aistack/config.toml".source;

      serviceConfig =
        hardening.sandbox [
          (if onlyThisHost then hardening.relax.loopback else hardening.relax.network)
        ]
        // {
          Type = "notify";
          Slice = "aistack.slice";
          User = "aistack";
          Group = "aistack";
          SupplementaryGroups = cfg.aidb.extraGroups;
          ExecStart = "${lib.getExe cfg.package} serve";
          LoadCredential = cfg.loadCredential;
          # Where several workers share their metrics.
          RuntimeDirectory = "aistack-aidb";
          RuntimeDirectoryMode = "0700";
          Restart = "always";
          RestartSec = 1;
          RestartSteps = 5;
          RestartMaxDelaySec = 30;
          TimeoutStopSec = shutdownSeconds + 10;
        };
    };
  };
}
