# Backups: timers, secrets, and where they may lie.
{
  lib,
  self,
  evaluate,
  enabled,
  complains,
  refuses,
  backups,
  backedUp,
  ...
}:
let
  away = {
    kind = "sftp";
    host = "store.test";
    user = "kb";
    path = "/srv/kb";
    privateKeyFile = "/run/secrets/store";
    knownHostsFile = "/etc/store-hosts";
  };

  backupWarnings =
    config: lib.length (lib.filter (lib.hasInfix "backups.repositories") config.warnings);
in
{
  testNoBackupsByDefault = {
    expr = {
      units = lib.filter (lib.hasPrefix "aistack-backup") (lib.attrNames enabled.systemd.services);
      archive = enabled.services.postgresql.settings ? archive_mode;
      settings = enabled.services.aistack.settings ? backup;
    };
    expected = {
      units = [ ];
      archive = false;
      settings = false;
    };
  };
  testBackupsHaveTheirTimers = {
    expr = lib.mapAttrs (_: timer: timer.timerConfig.OnCalendar) (
      lib.filterAttrs (name: _: lib.hasPrefix "aistack-backup" name) backedUp.systemd.timers
    );
    expected = {
      aistack-backup = "*-*-* 02:00:00";
      aistack-backup-drill = "Sun 04:00";
      aistack-backup-verify = "Sat 04:00";
    };
  };
  testBackupsWithoutProof = {
    expr = lib.attrNames (
      lib.filterAttrs (name: _: lib.hasPrefix "aistack-backup" name)
        (backups {
          verify.enable = false;
          drill.enable = false;
        }).systemd.timers
    );
    expected = [ "aistack-backup" ];
  };
  testBackupIsMadeUpAndNotBySwitches = {
    expr = {
      inherit (backedUp.systemd.timers.aistack-backup.timerConfig) Persistent;
      inherit (backedUp.systemd.services.aistack-backup) wantedBy restartIfChanged;
    };
    expected = {
      Persistent = true;
      wantedBy = [ ];
      restartIfChanged = false;
    };
  };
  # Else every upgrade of aistack would restart the database.
  testPostgresqlNamesNothingOfOurs = {
    expr = {
      inherit (backedUp.services.postgresql.settings) archive_mode archive_command archive_timeout;
    };
    expected = {
      archive_mode = "on";
      archive_command = ''/etc/aistack/pgbackrest-wal push "%p"'';
      archive_timeout = 60;
    };
  };
  testBackupWithoutNetwork = {
    expr = map (name: backedUp.systemd.services.${name}.serviceConfig.PrivateNetwork) [
      "aistack-backup-verify"
      "aistack-backup-drill"
    ];
    expected = [
      true
      true
    ];
  };
  testBackupByNetwork = {
    expr =
      (backups { repositories = { inherit away; }; })
      .systemd.services.aistack-backup-verify.serviceConfig.PrivateNetwork;
    expected = false;
  };
  testServicesHaveNoSecretOfBackups = {
    expr = lib.filter (lib.hasInfix "backup") (
      lib.concatMap (name: backedUp.systemd.services.${name}.serviceConfig.LoadCredential) [
        "aistack-aidb"
        "aistack-coordinator"
        "aistack-gc"
      ]
    );
    expected = [ ];
  };
  testBackupSecretsAreCredentials = {
    expr =
      let
        inherit
          ((backups {
            keyFile = "/run/secrets/key";
            repositories = { inherit away; };
          }).services.aistack.settings.backup
          )
          key_file
          repositories
          ;
      in
      [
        key_file
        repositories.away.private_key_file
      ];
    expected = [
      "credential:backup-key"
      "credential:backup-away-private-key-file"
    ];
  };
  testOwnKeyIsNotMade = {
    expr = (backups { keyFile = "/run/secrets/key"; }).systemd.services ? aistack-backup-key;
    expected = false;
  };
  testBackupsOnThisHostAloneWarn = {
    expr = backupWarnings backedUp;
    expected = 1;
  };
  testBackupsElsewhereDoNot = {
    expr = backupWarnings (backups {
      repositories = { inherit away; };
    });
    expected = 0;
  };
  testBackupsOfADatabaseElsewhere = complains "services.aistack.backups.enable" {
    backups.enable = true;
    postgresql = {
      createLocally = false;
      url = "postgresql://db/x";
    };
  };
  testTwoArchiveCommands = {
    expr =
      lib.any (a: !a.assertion && lib.hasInfix "services.pgbackrest.enable" a.message)
        (evaluate [
          self.nixosModules.default
          {
            services.pgbackrest.enable = true;
            services.aistack = {
              enable = true;
              backups.enable = true;
            };
          }
        ]).assertions;
    expected = true;
  };
  testNowhereToBackUp = complains "services.aistack.backups.repositories" {
    backups = {
      enable = true;
      repositories = { };
    };
  };
  testSftpWithoutKey = complains "services.aistack.backups.repositories.away.privateKeyFile" {
    backups = {
      enable = true;
      repositories.away = removeAttrs away [ "privateKeyFile" ];
    };
  };
  testS3WithoutBucket = complains "services.aistack.backups.repositories.away.bucket" {
    backups = {
      enable = true;
      repositories.away = {
        kind = "s3";
        host = "s3.test";
        path = "/kb";
        keyIdFile = "/run/secrets/id";
        keySecretFile = "/run/secrets/secret";
      };
    };
  };
  testRepositoryName = complains "services.aistack.backups.repositories" {
    backups = {
      enable = true;
      repositories."No Name".path = "/backup";
    };
  };
  testUnknownKind = refuses [ "backups" "repositories" "x" "kind" ] {
    backups.repositories.x = {
      kind = "ftp";
      path = "/x";
    };
  };
  testBackupKeyInTheStore = refuses [ "backups" "keyFile" ] { backups.keyFile = ./default.nix; };
  testSshKeyInTheStore = refuses [ "backups" "repositories" "x" "privateKeyFile" ] {
    backups.repositories.x = away // {
      privateKeyFile = ./default.nix;
    };
  };

}
