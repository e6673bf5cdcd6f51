# What every unit that opens the whole stack has alike: AIDB, the coordinator, garbage collection.
#
#   let
#     base = import ../lib/stack-unit.nix { inherit config lib pkgs; } {
#       name = "aidb";            # its sections of the settings: see sections.nix
#       instance = "aidb-1";      # of the settings file; left out by all but one of several
#       inherit (own) onLoopback; # left out by a unit that nobody connects to
#       startsNothing = true;     # of a unit that waits for nothing and starts nothing
#       settings = ...;           # left out by a unit that has no settings of its own
#     };
#   in
#   base // { serviceConfig = base.serviceConfig // { ExecStart = ...; }; }
{
  config,
  lib,
  pkgs,
}:
{
  name,
  instance ? name,
  onLoopback ? true,
  startsNothing ? false,
  settings ? config.services.aistack.settings,
}:
let
  cfg = config.services.aistack;
  credentials = import ./credentials.nix { inherit lib; };
  hardening = import ./hardening.nix { inherit lib; };
  sections = import ./sections.nix { inherit lib; };
  settingsFile = import ./settings-file.nix { inherit lib pkgs cfg; };

  isElsewhere = url: builtins.match "https?://(127\\..*|localhost[:/].*|\\[::1].*)" url == null;
  remoteEndpoint = cfg.embeddings.endpoint != null && isElsewhere cfg.embeddings.endpoint;
  tracesElsewhere =
    sections.reads name "tracing"
    && cfg.monitoring.tracing.enable
    && isElsewhere cfg.monitoring.tracing.endpoint;
  notifies =
    sections.reads name "issues"
    && lib.any (target: target != null) [
      cfg.issues.notify.webhookUrlFile
      cfg.issues.notify.ntfyUrlFile
      cfg.issues.notify.mailTo
    ];
  onlyThisHost =
    onLoopback
    && !notifies
    && cfg.postgresql.createLocally
    && cfg.qdrant.createLocally
    && cfg.redis.url == null
    && !remoteEndpoint
    && !tracesElsewhere;
in
{
  # The file's name changes with its text: a setting that this reads restarts it, others do not.
  environment.AISTACK_CONFIG = toString (
    settingsFile "aistack-${instance}.toml" (sections.of name settings)
  );

  serviceConfig =
    hardening.sandbox [
      (if onlyThisHost then hardening.relax.loopback else hardening.relax.network)
    ]
    // {
      Slice = "aistack.slice";
      User = "aistack";
      Group = "aistack";
      SupplementaryGroups = cfg.socketGroups;
      LoadCredential = credentials.load cfg.credentials;
    };
}
// lib.optionalAttrs (!startsNothing) {
  # Nothing is required: a unit says itself what it cannot do without.
  wants = [ "aistack-migrate.service" ] ++ lib.optional (!onlyThisHost) "network-online.target";
  after = [
    "aistack-migrate.service"
  ]
  ++ lib.optional (!onlyThisHost) "network-online.target"
  ++ lib.optional cfg.postgresql.createLocally "postgresql.target"
  ++ lib.optional cfg.qdrant.createLocally "qdrant.service"
  ++ lib.optional cfg.redis.createLocally "redis-aistack.service"
  ++ lib.optional (cfg.embeddings.llamaCpp.model != null) "llama-cpp.service";
}
