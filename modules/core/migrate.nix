# Before the services start: the schema of this version, and the keys that the host declares.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  credentials = import ../lib/credentials.nix { inherit lib; };
  hardening = import ../lib/hardening.nix { inherit lib; };
  settingsFile = import ../lib/settings-file.nix { inherit lib pkgs cfg; };

  database = cfg.postgresql;
  adminKeyFile =
    if cfg.adminKeyFile != null then cfg.adminKeyFile else "/var/lib/aistack-secrets/admin-key";

  # Programs ask all day long, each for every instance: far more than a person.
  limits = "--per-minute 600 --per-hour 36000";
  declare =
    name: key:
    "${lib.getExe cfg.package} keys ensure ${name} --scope ${key.scope} ${limits} --key-file credential:${name}-key";
in
{
  config = lib.mkIf cfg.enable {
    services.aistack.settings.host.units = [ "aistack-migrate.service" ];

    systemd.services.aistack-migrate = {
      description = "aistack database schema and declared keys";
      wantedBy = [ "aistack.target" ];
      partOf = [ "aistack.target" ];
      requires = [ "aistack-secrets.service" ] ++ lib.optional database.createLocally "postgresql.target";
      wants = lib.optional (!database.createLocally) "network-online.target";
      after = [
        "aistack-secrets.service"
        (if database.createLocally then "postgresql.target" else "network-online.target")
      ];

      # A failure shows at the switch; a database that comes up later is still found.
      startLimitIntervalSec = 0;

      # Only what it reads: another setting's change does not run it again.
      environment.AISTACK_CONFIG = toString (
        settingsFile "aistack-migrate.toml" { inherit (cfg.settings) postgres; }
      );

      serviceConfig =
        hardening.sandbox (lib.optional (!database.createLocally) hardening.relax.network)
        // {
          Type = "oneshot";
          RemainAfterExit = true;
          Slice = "aistack.slice";
          User = "aistack";
          Group = "aistack";
          ExecStart = [
            "${lib.getExe cfg.package} migrate"
            "${lib.getExe cfg.package} keys ensure admin --scope admin --key-file credential:admin-key"
          ]
          ++ lib.mapAttrsToList declare cfg.hostKeys;
          # A blank one stands in for a generated key whose file was put away.
          LoadCredential = credentials.load (
            {
              admin-key = adminKeyFile;
            }
            // lib.mapAttrs' (name: key: lib.nameValuePair "${name}-key" key.file) cfg.hostKeys
            // credentials.only [ "postgres-password" ] cfg.credentials
          );
          SetCredential = lib.optionals (cfg.adminKeyFile == null) (
            credentials.orBlank { admin-key = adminKeyFile; }
          );
          Restart = "on-failure";
          RestartPreventExitStatus = 4;
          RestartSec = 2;
          RestartSteps = 5;
          RestartMaxDelaySec = 30;
        };
    };
  };
}
