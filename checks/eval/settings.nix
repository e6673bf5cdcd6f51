# Who reads which settings, and what becomes a secret.
{
  lib,
  with',
  enabled,
  complains,
  refuses,
  settingsFile,
  backups,
  backedUp,
  ...
}:
{
  testOnlyTheConsoleReadsTheRulesOfGarbageCollection = {
    expr =
      let
        changed =
          name: settings:
          settingsFile name (with' (settings // { gc.maxAgeDays = 90; }))
          != settingsFile name (with' settings);
      in
      {
        aidb = changed "aistack-aidb" { };
        without = changed "aistack-aidb" { aidb.console.enable = false; };
        coordinator = changed "aistack-coordinator" { };
      };
    expected = {
      aidb = true;
      without = false;
      coordinator = false;
    };
  };
  testGarbageCollectionReadsItsRules = {
    expr =
      settingsFile "aistack-gc" (with' {
        gc.maxAgeDays = 90;
      }) == settingsFile "aistack-gc" enabled;
    expected = false;
  };
  # A service tells of the age of backups; the rest of that section is the jobs' own.
  testRetentionRestartsNobody = {
    expr =
      lib.filter
        (
          name:
          settingsFile name backedUp != settingsFile name (backups {
            retention.daily = 9;
          })
        )
        [
          "aistack-aidb"
          "aistack-coordinator"
          "aistack-gc"
          "aistack-health"
          "aistack-issue@"
        ];
    expected = [ ];
  };
  testServicesKnowTheAgeOfBackups = {
    expr = settingsFile "aistack-aidb" backedUp != settingsFile "aistack-aidb" enabled;
    expected = true;
  };
  testASectionOfOthersRestartsNobody = {
    expr =
      lib.filter
        (
          name:
          settingsFile name enabled != settingsFile name (with' {
            settings.later.key = 1;
          })
        )
        [
          "aistack-aidb"
          "aistack-coordinator"
          "aistack-gc"
          "aistack-health"
          "aistack-issue@"
        ];
    expected = [ ];
  };
  testCollectionName = complains "services.aistack.collections" { collections."No Name" = { }; };

  # A path literal would copy the secret to the store.
  testSecretInTheStore = refuses [ "adminKeyFile" ] { adminKeyFile = ./default.nix; };
  testPortOutOfRange = refuses [ "aidb" "port" ] { aidb.port = 70000; };

  # nginx, the firewall and the sandbox go by the options: one place says it, or none.
  testAnOptionAndItsSettingDoNotPart = refuses [ "settings" "aidb" "port" ] {
    settings.aidb.port = 9000;
  };
  testSettingsWithoutAnOption = {
    expr = (with' { settings.aidb.shutdown_s = 5; }).services.aistack.settings.aidb.shutdown_s;
    expected = 5;
  };
  testNoSecretInTheSettings = {
    expr =
      (with' {
        postgresql = {
          createLocally = false;
          url = "postgresql://db/x";
          passwordFile = "/run/secrets/pg";
        };
      }).services.aistack.settings.postgres.password_file;
    expected = "credential:postgres-password";
  };
}
