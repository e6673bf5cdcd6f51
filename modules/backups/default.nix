# Backups of PostgreSQL and of the index: made, verified and restored for a try by timers.
#
# Not by services.pgbackrest of NixOS: that has no way to hand pgBackRest a key but through the
# world-readable store, and knows neither the index nor restores.
{ config, lib, ... }:
let
  cfg = config.services.aistack;
  own = cfg.backups;
  at = "services.aistack.backups";
  database = config.services.postgresql;

  schedule =
    default: text:
    lib.mkOption {
      type = lib.types.either lib.types.str (lib.types.nonEmptyListOf lib.types.str);
      inherit default;
      description = ''
        ${text}, as one or more calendar expressions of {manpage}`systemd.time(7)`. What the host was
        off for is made up after its next start.
      '';
    };
  keeps =
    default: description:
    lib.mkOption {
      type = lib.types.ints.unsigned;
      inherit default description;
    };
  hook =
    text:
    lib.mkOption {
      type = lib.types.lines;
      default = "";
      description = ''
        Shell commands ${text}. They run as the user postgres, in the sandbox of
        `aistack-backup.service`.
      '';
    };
in
{
  imports = [
    ./archive.nix
    ./jobs.nix
    ./key.nix
    ./repositories.nix
  ];

  options.services.aistack.backups = {
    enable = lib.mkOption {
      type = lib.types.bool;
      default = false;
      example = true;
      description = ''
        Whether to back up PostgreSQL (all of this host's, to the second) and the index, encrypted,
        to {option}`${at}.repositories`; to verify what lies there; and to restore it for a try.

        PostgreSQL saves its WAL from then on: the switch that sets this restarts it once.
      '';
    };

    stateDir = lib.mkOption {
      type = lib.types.externalPath;
      default = "/var/lib/aistack-backup";
      description = ''
        Spool, locks and caches. The trial restores happen here, too: it needs as much free space as
        the database and the index have.
      '';
    };

    schedule = schedule "*-*-* 02:00:00" "When to make a backup";

    randomizedDelay = lib.mkOption {
      type = lib.types.str;
      default = "15min";
      example = "0";
      description = ''
        Longest random delay of every timer of backups, as a time span of {manpage}`systemd.time(7)`:
        hosts that share a repository's server do not all begin at once.
      '';
    };

    fullDays = lib.mkOption {
      type = lib.types.ints.positive;
      default = 7;
      description = ''
        Days after which a backup of PostgreSQL is a whole one again; the others hold what changed.
      '';
    };

    maxAgeHours = lib.mkOption {
      type = lib.types.ints.positive;
      default = 26;
      description = ''
        Age of the newest backup in hours that is still well, by {command}`aistack health` and the
        services' own checks. Raise it with a rarer {option}`${at}.schedule`.
      '';
    };

    retention = {
      daily = lib.mkOption {
        type = lib.types.ints.positive;
        default = 7;
        description = "Days of which the newest backup stays.";
      };
      weekly = keeps 4 "Weeks of which the newest backup stays.";
      monthly = keeps 12 "Months of which the newest backup stays.";
      anySecondDays = lib.mkOption {
        type = lib.types.ints.positive;
        default = 7;
        description = ''
          Days back of which every second can be restored; of what is older, the backups that stay.
        '';
      };
    };

    verify = {
      enable = lib.mkOption {
        type = lib.types.bool;
        default = true;
        description = ''
          Whether to read the repositories back, all of PostgreSQL's part and a fourth of the rest
          each time, against the checksums.
        '';
      };
      schedule = schedule "Sat 04:00" "When to verify";
    };

    drill = {
      enable = lib.mkOption {
        type = lib.types.bool;
        default = true;
        description = ''
          Whether to restore a backup into servers of its own, compare what they hold with what was
          backed up, and measure how long it took. Each week takes the next repository.
        '';
      };
      schedule = schedule "Sun 04:00" "When to try a restore";
    };

    hooks = {
      before = hook "before a backup; one that fails keeps it from being made";
      after = hook "after a backup, with its outcome in `$SERVICE_RESULT` (`success` or why not)";
    };
  };

  config = lib.mkIf (cfg.enable && own.enable) {
    assertions = [
      {
        assertion = cfg.postgresql.createLocally;
        message = ''
          ${at}.enable is set, but services.aistack.postgresql.createLocally is off: a physical backup
          is made on the database's own host. Set ${at}.enable = false here and back the database up
          there.
        '';
      }
      {
        assertion = !config.services.pgbackrest.enable;
        message = ''
          ${at}.enable and services.pgbackrest.enable are both set: each wants to be PostgreSQL's
          archive_command. Turn services.pgbackrest off on this host.
        '';
      }
    ];

    services.aistack.settings = {
      backup = {
        data_dir = database.dataDir;
        state_dir = own.stateDir;
        full_days = own.fullDays;
        max_age_hours = own.maxAgeHours;
        retention = {
          inherit (own.retention) daily weekly monthly;
          any_second_days = own.retention.anySecondDays;
        };
        # A restore in place stops these in turn; the last is the server.
        units = [
          "aistack.target"
          "postgresql.service"
        ];
      };

      host = {
        units = [
          "aistack-backup.service"
        ]
        ++ lib.optional own.verify.enable "aistack-backup-verify.service"
        ++ lib.optional own.drill.enable "aistack-backup-drill.service";
        timers = [
          "aistack-backup.timer"
        ]
        ++ lib.optional own.verify.enable "aistack-backup-verify.timer"
        ++ lib.optional own.drill.enable "aistack-backup-drill.timer";
        # Another schedule has another age; whoever sets it knows which.
        jobs = {
          backup = own.maxAgeHours;
        }
        // lib.optionalAttrs (own.verify.enable && own.verify.schedule == "Sat 04:00") {
          backup_verify = 9 * 24;
        }
        // lib.optionalAttrs (own.drill.enable && own.drill.schedule == "Sun 04:00") {
          backup_drill = 9 * 24;
        };
      };
    };
  };
}
