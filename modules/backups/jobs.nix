# The jobs of backups and their timers.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  own = cfg.backups;
  hardening = import ../lib/hardening.nix { inherit lib; };
  unit = import ./unit.nix { inherit config lib pkgs; };

  timer = description: schedule: {
    inherit description;
    wantedBy = [ "timers.target" ];
    timerConfig = {
      OnCalendar = schedule;
      Persistent = true;
      RandomizedDelaySec = own.randomizedDelay;
    };
  };

  job =
    {
      description,
      command,
      sandbox,
      before ? "",
    }:
    let
      # Within its turn: what a hook stops does not stay so behind another job.
      program = pkgs.writeShellScript "aistack-backup-${command}" ''
        set -e
        ${before}
        exec ${lib.getExe cfg.package} backup ${command}
      '';
    in
    {
      inherit description;
      inherit (unit) path;
      wants = [ "aistack-migrate.service" ] ++ lib.optional (!own.onlyFolders) "network-online.target";
      after = [
        "aistack-migrate.service"
        "postgresql.target"
      ]
      ++ lib.optional (!own.onlyFolders) "network-online.target"
      ++ lib.optional cfg.qdrant.createLocally "qdrant.service";
      # A disk that is not there gets no backup on the folder where it should be.
      unitConfig.RequiresMountsFor = own.folders;
      # A switch neither ends one nor waits for it.
      restartIfChanged = false;

      # The whole file: a backup holds the settings, too.
      environment.AISTACK_CONFIG = "/etc/aistack/config.toml";

      serviceConfig = unit.administrator sandbox // {
        Type = "oneshot";
        # They wait for one another; `aistack backup` by hand does not wait.
        ExecStart = "${lib.getExe' pkgs.util-linux "flock"} --no-fork ${own.stateDir}/turn ${program}";
        SyslogIdentifier = "aistack";
        # The programs that it calls have bounds of their own.
        TimeoutStartSec = "infinity";
        # The services come first; not "idle", for starved it would keep WAL and snapshots waiting.
        CPUWeight = 10;
        IOWeight = 10;
        Nice = 10;
        IOSchedulingPriority = 7;
      };
    };
in
{
  options.services.aistack.backups.resticPackage = lib.mkPackageOption pkgs "restic" { };

  config = lib.mkIf (cfg.enable && own.enable) {
    systemd.services.aistack-backup =
      job {
        description = "aistack backup of PostgreSQL and the index";
        command = "run";
        sandbox =
          if own.onlyFolders && cfg.qdrant.createLocally then
            hardening.relax.loopback
          else
            hardening.relax.network;
        inherit (own.hooks) before;
      }
      // {
        postStop = own.hooks.after;
      };
    systemd.timers.aistack-backup = timer "aistack backup of PostgreSQL and the index" own.schedule;

    systemd.services.aistack-backup-verify = lib.mkIf own.verify.enable (job {
      description = "aistack verification of its backups";
      command = "verify";
      sandbox = if own.onlyFolders then { } else hardening.relax.network;
    });
    systemd.timers.aistack-backup-verify = lib.mkIf own.verify.enable (
      timer "aistack verification of its backups" own.verify.schedule
    );

    systemd.services.aistack-backup-drill = lib.mkIf own.drill.enable (job {
      description = "aistack trial restore of a backup";
      command = "drill";
      # The scratch Qdrant answers on loopback: its own, where no repository is on another host.
      sandbox = if own.onlyFolders then hardening.relax.ownNetwork else hardening.relax.network;
    });
    systemd.timers.aistack-backup-drill = lib.mkIf own.drill.enable (
      timer "aistack trial restore of a backup" own.drill.schedule
    );
  };
}
