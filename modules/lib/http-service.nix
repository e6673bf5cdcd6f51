# A unit that serves HTTP and MCP: AIDB and the coordinator are such.
#
#   (import ../lib/http-service.nix { inherit config lib pkgs; }) {
#     name = "aidb";              # its section of the settings, and its options below services.aistack
#     description = "...";
#     others = [ "coordinator" ]; # sections that it does not read
#   }
{
  config,
  lib,
  pkgs,
}:
{
  name,
  description,
  others,
}:
let
  cfg = config.services.aistack;
  own = cfg.${name};
  hardening = import ./hardening.nix { inherit lib; };
  settingsFile = import ./settings-file.nix { inherit lib pkgs cfg; };

  remoteEndpoint =
    cfg.embeddings.endpoint != null
    && builtins.match "https?://(127\\..*|localhost[:/].*|\\[::1].*)" cfg.embeddings.endpoint == null;
  onlyThisHost =
    own.onLoopback
    && cfg.postgresql.createLocally
    && cfg.qdrant.createLocally
    && cfg.redis.url == null
    && !remoteEndpoint;
  shutdownSeconds = cfg.settings.${name}.shutdown_s or 20;
in
{
  description = "aistack ${description}";
  wantedBy = [ "aistack.target" ];
  partOf = [ "aistack.target" ];
  # Nothing is required: without Qdrant, Redis or the model it starts and says what it cannot do;
  # without the database, or with an older schema, it ends and tries again.
  wants = [ "aistack-migrate.service" ] ++ lib.optional (!onlyThisHost) "network-online.target";
  after = [
    "aistack-migrate.service"
  ]
  ++ lib.optional (!onlyThisHost) "network-online.target"
  ++ lib.optional cfg.postgresql.createLocally "postgresql.target"
  ++ lib.optional cfg.qdrant.createLocally "qdrant.service"
  ++ lib.optional cfg.redis.createLocally "redis-aistack.service"
  ++ lib.optional (cfg.embeddings.llamaCpp.model != null) "llama-cpp.service";

  # A database may be away for an hour: never given up, only tried more slowly.
  startLimitIntervalSec = 0;

  # The file's name changes with its text: a setting that this reads restarts it, others do not.
  environment.AISTACK_CONFIG = toString (
    settingsFile "aistack-${name}.toml" (removeAttrs cfg.settings others)
  );

  serviceConfig =
    hardening.sandbox [
      (if onlyThisHost then hardening.relax.loopback else hardening.relax.network)
    ]
    // {
      Type = "notify";
      Slice = "aistack.slice";
      User = "aistack";
      Group = "aistack";
      SupplementaryGroups = cfg.socketGroups;
      ExecStart = "${lib.getExe cfg.package} serve ${name}";
      LoadCredential = cfg.loadCredential;
      # Where several workers share their metrics.
      RuntimeDirectory = "aistack-${name}";
      RuntimeDirectoryMode = "0700";
      Restart = "always";
      # A configuration that cannot work does not become better by trying.
      RestartPreventExitStatus = 4;
      RestartSec = 1;
      RestartSteps = 5;
      RestartMaxDelaySec = 30;
      TimeoutStopSec = shutdownSeconds + 10;
    };
}
