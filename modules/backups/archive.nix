# PostgreSQL's side: every WAL segment goes to the repositories, and a restore fetches them back.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  own = cfg.backups;
  credentials = import ../lib/credentials.nix { inherit lib; };
  settingsFile = import ../lib/settings-file.nix { inherit lib pkgs cfg; };

  # A path that stays: neither an upgrade of aistack nor another setting restarts PostgreSQL, and
  # what a restore writes into the data folder still works after the store was cleaned. pgBackRest
  # insists on its name in archive_command.
  command = "aistack/pgbackrest-wal";

  program = pkgs.writeShellScript "aistack-pgbackrest-wal" ''
    # push SEGMENT, get SEGMENT FILE; with PostgreSQL's own credentials.
    export AISTACK_CONFIG=${settingsFile "aistack-wal.toml" { inherit (cfg.settings) backup; }}
    export PATH=${lib.makeBinPath [ own.pgbackrestPackage ]}
    exec ${lib.getExe cfg.package} backup "archive-$1" "''${@:2}"
  '';
in
{
  options.services.aistack.backups.pgbackrestPackage = lib.mkPackageOption pkgs "pgbackrest" { };

  config = lib.mkIf (cfg.enable && own.enable) {
    environment.etc.${command}.source = program;

    services.aistack.settings.backup.restore_command = ''/etc/${command} get %f "%p"'';

    services.postgresql.settings = {
      archive_mode = "on";
      archive_command = ''/etc/${command} push "%p"'';
      # Longest time of writes that lie on this host alone, in seconds.
      archive_timeout = lib.mkDefault 60;
    };

    systemd.services.postgresql.serviceConfig = {
      LoadCredential = credentials.load own.credentials;
      # Without its file each is blank: then no WAL is saved, and says why, but the database runs.
      SetCredential = credentials.orBlank own.credentials;
      # One that is not mounted does not keep the database from running either.
      ReadWritePaths = [ own.stateDir ] ++ map (folder: "-${folder}") own.folders;
    };

    systemd.tmpfiles.settings.aistack-backup = lib.genAttrs ([ own.stateDir ] ++ own.folders) (_: {
      d = {
        user = "postgres";
        group = "postgres";
        mode = "0700";
      };
    });
  };
}
