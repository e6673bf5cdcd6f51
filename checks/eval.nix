# What needs no machine: the module changes nothing while it is off, each assertion fires with its
# option's name, and each unit is ordered as it must be.
{
  lib,
  pkgs,
  self,
}:
let
  host = {
    # One package set for all of these evaluations.
    nixpkgs.pkgs = pkgs;
    documentation.enable = false;
    boot.loader.grub.device = "/dev/vda";
    fileSystems."/" = {
      device = "/dev/vda1";
      fsType = "ext4";
    };
    system.stateVersion = "26.05";
  };
  evaluate = modules: (lib.nixosSystem { modules = [ host ] ++ modules; }).config;

  plain = evaluate [ ];
  withModule = evaluate [ self.nixosModules.default ];
  with' =
    settings:
    evaluate [
      self.nixosModules.default
      {
        services.aistack = {
          enable = true;
        }
        // settings;
      }
    ];
  enabled = with' { };

  # The options that the failing assertions of a configuration name.
  complaints =
    settings:
    lib.unique (
      lib.concatMap (
        a:
        lib.optionals (!a.assertion) (
          lib.filter (word: lib.hasPrefix "services.aistack" word) (
            lib.concatMap lib.toList (builtins.split "[^A-Za-z.]+" (lib.head (lib.splitString "\n" a.message)))
          )
        )
      ) (with' settings).assertions
    );
  complains = option: settings: {
    expr = lib.elem option (complaints settings);
    expected = true;
  };
  refuses = option: value: {
    expr =
      (builtins.tryEval (lib.deepSeq (lib.getAttrFromPath option (with' value).services.aistack) null))
      .success;
    expected = false;
  };

  # nginx, with a certificate.
  served = tls: {
    inherit tls;
    nginx = {
      enable = true;
      domain = "kb.test";
    };
  };
  providers = {
    selfSigned = { };
    acme = {
      provider = "acme";
      acme.acceptTerms = true;
      acme.email = "admin@kb.test";
    };
    dns = {
      provider = "acme";
      acme = {
        acceptTerms = true;
        dnsProvider = "hetzner";
        credentialFiles.HETZNER_API_TOKEN_FILE = "/run/secrets/dns";
      };
    };
    certbot = {
      provider = "certbot";
      acme.acceptTerms = true;
    };
    files = {
      provider = "files";
      certificateFile = "/run/secrets/cert.pem";
      certificateKeyFile = "/run/secrets/key.pem";
    };
  };

  # A unit's settings file; its name changes with its text.
  settingsFile = name: config: config.systemd.services.${name}.environment.AISTACK_CONFIG;
  collects =
    settings:
    let
      inherit (with' settings) systemd;
    in
    {
      service = systemd.services ? aistack-gc;
      timer = systemd.timers ? aistack-gc;
    };

  three = with' { aidb.instances = 3; };
  restartsThem = config: config.systemd.services.aistack-aidb-instances.restartTriggers;
  backups =
    settings:
    with' {
      backups = {
        enable = true;
      }
      // settings;
    };
  backedUp = backups { };
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

  toplevel = config: builtins.unsafeDiscardStringContext config.system.build.toplevel.drvPath;
  unit = name: enabled.systemd.services.${name};

  results = lib.runTests {
    testIssuesOfEveryUnitButTheirOwn = {
      expr =
        lib.attrNames (
          lib.filterAttrs (
            name: unit: lib.hasPrefix "aistack-" name && unit.onFailure != [ "aistack-issue@%n.service" ]
          ) enabled.systemd.services
        )
        ++ lib.filter (name: (unit name).onFailure == [ ]) [
          "postgresql"
          "qdrant"
          "redis-aistack"
        ];
      expected = [ "aistack-issue@" ];
    };
    testTheRecordOfAFailureWaitsForNothing = {
      expr = {
        inherit (unit "aistack-issue@")
          after
          requires
          wants
          startLimitIntervalSec
          ;
      };
      expected = {
        after = [ ];
        requires = [ ];
        wants = [ ];
        startLimitIntervalSec = 0;
      };
    };
    testNoIssuesWhereTheyAreOff = {
      expr =
        let
          off = with' { issues.enable = false; };
        in
        {
          handler = off.systemd.services ? "aistack-issue@";
          inherit (off.systemd.services.aistack-aidb) onFailure;
          spool = off.services.aistack.settings.issues ? spool;
        };
      expected = {
        handler = false;
        onFailure = [ ];
        spool = false;
      };
    };
    testATokenNeedsItsTopic = complains "services.aistack.issues.notify.ntfyTokenFile" {
      issues.notify.ntfyTokenFile = "/run/secrets/ntfy";
    };
    testNothingChangesWhileOff = {
      expr = toplevel withModule;
      expected = toplevel plain;
    };

    testNoComplaintByDefault = {
      expr = complaints { };
      expected = [ ];
    };
    testNoWarningByDefault = {
      expr = lib.filter (lib.hasInfix "aistack") enabled.warnings;
      expected = [ ];
    };
    testNoPortByDefault = {
      expr = enabled.networking.firewall.allowedTCPPorts;
      expected = plain.networking.firewall.allowedTCPPorts;
    };
    testFirewallOpensWhenAsked = {
      expr =
        (with' {
          openFirewall = true;
          nginx = {
            enable = true;
            domain = "kb.test";
          };
        }).networking.firewall.allowedTCPPorts;
      expected = [
        80
        443
      ];
    };
    testLoopbackByDefault = {
      expr = enabled.services.aistack.settings.aidb.host;
      expected = "127.0.0.1";
    };

    testFirewallWithNothingToServe = complains "services.aistack.openFirewall" { openFirewall = true; };
    testCoordinatorOff = {
      expr = (with' { coordinator.enable = false; }).systemd.services ? aistack-coordinator;
      expected = false;
    };

    testGarbageCollectionByDefault = {
      expr = collects { };
      expected = {
        service = true;
        timer = true;
      };
    };
    testGarbageCollectionOff = {
      expr = collects { gc.enable = false; };
      expected = {
        service = false;
        timer = false;
      };
    };
    testGarbageCollectionGoesWithTheCoordinator = {
      expr = collects { coordinator.enable = false; };
      expected = {
        service = false;
        timer = false;
      };
    };
    # Whoever turns the timer off collects by hand, by the same rules.
    testGarbageCollectionByHandHasItsRules = {
      expr =
        (with' {
          gc = {
            enable = false;
            maxAgeDays = 90;
          };
        }).services.aistack.settings.gc.max_age_days;
      expected = 90;
    };
    testGarbageCollectionIsMadeUp = {
      expr = enabled.systemd.timers.aistack-gc.timerConfig;
      expected = {
        OnCalendar = "*-*-* 02:00:00";
        Persistent = true;
        RandomizedDelaySec = "15min";
      };
    };
    # By its timer only; a switch or a boot does not collect.
    testGarbageCollectionIsStartedByNothingElse = {
      expr = {
        inherit (unit "aistack-gc") wantedBy requiredBy restartIfChanged;
      };
      expected = {
        wantedBy = [ ];
        requiredBy = [ ];
        restartIfChanged = false;
      };
    };
    testGarbageCollectionWaitsForTheMigration = {
      expr =
        lib.elem "aistack-migrate.service" (unit "aistack-gc").after
        && lib.elem "aistack-migrate.service" (unit "aistack-gc").wants;
      expected = true;
    };
    testNoHardMaximumAge = {
      expr = enabled.services.aistack.settings.gc ? hard_max_age_days;
      expected = false;
    };
    testHardMaximumAge = {
      expr = (with' { gc.hardMaxAgeDays = 730; }).services.aistack.settings.gc.hard_max_age_days;
      expected = 730;
    };
    # A key left out would mean the default.
    testInteractionsForEver = {
      expr = (with' { gc.interactionsDays = null; }).services.aistack.settings.gc.interactions_days;
      expected = 0;
    };
    testServicesDoNotReadTheRulesOfGarbageCollection = {
      expr =
        map
          (
            name:
            settingsFile name (with' {
              gc.maxAgeDays = 90;
            })
          )
          [
            "aistack-aidb"
            "aistack-coordinator"
          ];
      expected = map (name: settingsFile name enabled) [
        "aistack-aidb"
        "aistack-coordinator"
      ];
    };
    testGarbageCollectionReadsItsRules = {
      expr =
        settingsFile "aistack-gc" (with' {
          gc.maxAgeDays = 90;
        }) == settingsFile "aistack-gc" enabled;
      expected = false;
    };
    testGarbageCollectionTakesNothingAtAll = refuses [ "gc" "maxFraction" ] { gc.maxFraction = 0; };
    testGarbageCollectionTakesMoreThanAll = refuses [ "gc" "maxFraction" ] { gc.maxFraction = 1.5; };
    testValueOutOfRange = refuses [ "gc" "minValue" ] { gc.minValue = 2; };
    testNoSchedule = refuses [ "gc" "schedule" ] { gc.schedule = [ ]; };

    testOneInstanceNeedsNoBalancer = {
      expr = {
        unit = enabled.systemd.services ? aistack-aidb;
        balancer = enabled.systemd.services ? aistack-balancer;
        inherit (enabled.services.aistack.settings.aidb) drain_s;
      };
      expected = {
        unit = true;
        balancer = false;
        drain_s = 0;
      };
    };
    testInstances = {
      expr = {
        inherit (three.services.aistack.aidb) endpoint;
        units = lib.filter (lib.hasPrefix "aistack-aidb") (lib.attrNames three.systemd.services);
        inherit (three.services.aistack.settings.aidb) drain_s instances;
      };
      expected = {
        inherit (enabled.services.aistack.aidb) endpoint;
        units = [
          "aistack-aidb-1"
          "aistack-aidb-2"
          "aistack-aidb-3"
          "aistack-aidb-instances"
        ];
        drain_s = 5;
        instances = 3;
      };
    };
    # All at once would be an outage.
    testASwitchRestartsNoInstanceItself = {
      expr = map (name: three.systemd.services.${name}.restartIfChanged) [
        "aistack-aidb-1"
        "aistack-aidb-2"
        "aistack-aidb-3"
      ];
      expected = [
        false
        false
        false
      ];
    };
    testAChangedInstanceReloadsWhatRestartsThem = {
      expr = {
        changed =
          restartsThem three == restartsThem (with' {
            aidb.instances = 3;
            settings.aidb.shutdown_s = 7;
          });
        same =
          restartsThem three == restartsThem (with' {
            aidb.instances = 3;
            gc.maxAgeDays = 90;
          });
        reload = three.systemd.services.aistack-aidb-instances.reloadIfChanged;
      };
      expected = {
        changed = false;
        same = true;
        reload = true;
      };
    };
    testInstancesListenOnLoopbackAlone = {
      expr =
        (with' {
          openFirewall = true;
          aidb = {
            instances = 3;
            address = "0.0.0.0";
          };
        }).networking.firewall.allowedTCPPorts;
      expected = [ 8091 ];
    };
    testAHostElsewhereNeedsTheBalancer = {
      expr =
        let
          inherit ((with' { aidb.hosts = [ "192.168.10.3:8091" ]; }).systemd) services;
        in
        services ? aistack-balancer && services ? aistack-aidb-1 && !services ? aistack-aidb-2;
      expected = true;
    };
    testInstancesThatShareNoLimits = {
      expr = map (config: lib.any (lib.hasInfix "no Redis") config.warnings) [
        three
        (with' {
          aidb.instances = 3;
          redis.createLocally = false;
        })
      ];
      expected = [
        false
        true
      ];
    };
    testInstancesOnATakenPort = complains "services.aistack.aidb.instancesPort" {
      aidb = {
        instances = 2;
        instancesPort = 8090;
      };
    };
    testInstancesBeyondTheLastPort = complains "services.aistack.aidb.instancesPort" {
      aidb = {
        instances = 2;
        instancesPort = 65534;
      };
    };
    testInstancesThatEndBeforeTheBalancerKnows = complains "services.aistack.aidb.drainSeconds" {
      aidb = {
        instances = 2;
        drainSeconds = 1;
      };
    };
    testABalancerBeforeItself = complains "services.aistack.aidb.hosts" {
      aidb.hosts = [ "127.0.0.1:8091" ];
    };
    testAHostWithoutAPort = refuses [ "aidb" "hosts" ] { aidb.hosts = [ "192.168.10.3" ]; };
    testNoInstance = refuses [ "aidb" "instances" ] { aidb.instances = 0; };
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
    testBackupKeyInTheStore = refuses [ "backups" "keyFile" ] { backups.keyFile = ./eval.nix; };
    testSshKeyInTheStore = refuses [ "backups" "repositories" "x" "privateKeyFile" ] {
      backups.repositories.x = away // {
        privateKeyFile = ./eval.nix;
      };
    };

    testTwoServicesOnOnePort = complains "services.aistack.coordinator.port" {
      coordinator.port = 8091;
    };
    testNoDatabase = complains "services.aistack.postgresql.url" { postgresql.createLocally = false; };
    testTwoDatabases = complains "services.aistack.postgresql.url" {
      postgresql.url = "postgresql://db/x";
    };
    testPasswordInUrl = complains "services.aistack.postgresql.url" {
      postgresql = {
        createLocally = false;
        url = "postgresql://aistack:secret@db/aistack";
      };
    };
    testPasswordInQuery = complains "services.aistack.postgresql.url" {
      postgresql = {
        createLocally = false;
        url = "postgresql://aistack@db/aistack?password=secret";
      };
    };
    testNoIndex = complains "services.aistack.qdrant.url" { qdrant.createLocally = false; };
    testTwoIndexes = complains "services.aistack.qdrant.url" { qdrant.url = "https://qdrant.test"; };
    testTwoRedis = complains "services.aistack.redis.url" { redis.url = "redis://redis.test"; };
    testRedisPasswordForNothing = complains "services.aistack.redis.passwordFile" {
      redis = {
        createLocally = false;
        passwordFile = "/run/secrets/redis";
      };
    };
    testRedisPasswordInUrl = complains "services.aistack.redis.url" {
      redis = {
        createLocally = false;
        url = "redis://:secret@redis.test";
      };
    };
    testEmbeddingsWithoutModel = complains "services.aistack.embeddings.endpoint" {
      embeddings.endpoint = "http://localhost:11434/v1";
    };
    testEmbeddingsKeyForNothing = complains "services.aistack.embeddings.apiKeyFile" {
      embeddings.apiKeyFile = "/run/secrets/key";
    };
    testNginxWithoutDomain = complains "services.aistack.nginx.domain" { nginx.enable = true; };
    testHalfACertificate = complains "services.aistack.tls.certificateFile" (served {
      provider = "files";
      certificateFile = "/run/secrets/cert.pem";
    });
    testACertificateForNothing = complains "services.aistack.tls.certificateFile" (served {
      certificateFile = "/run/secrets/cert.pem";
      certificateKeyFile = "/run/secrets/key.pem";
    });
    testNoCertificateFile = complains "services.aistack.tls.provider" (served {
      provider = "files";
    });
    testTermsOfServiceOfAcme = complains "services.aistack.tls.provider" (served {
      provider = "acme";
    });
    testTermsOfServiceOfCertbot = complains "services.aistack.tls.provider" (served {
      provider = "certbot";
    });
    testCertbotDoesNotProveByDns = complains "services.aistack.tls.acme.dnsProvider" (served {
      provider = "certbot";
      acme.acceptTerms = true;
      acme.dnsProvider = "hetzner";
    });
    testCredentialsForNothing = complains "services.aistack.tls.acme.credentialFiles" (served {
      provider = "acme";
      acme.acceptTerms = true;
      acme.credentialFiles.HETZNER_API_TOKEN_FILE = "/run/secrets/dns";
    });
    testStagingForNothing = complains "services.aistack.tls.acme.staging" (served {
      acme.staging = true;
    });
    testTwoMastersOfACertificate = {
      expr = lib.any (a: !a.assertion && lib.hasInfix "services.aistack.tls.provider" a.message) (
        (evaluate [
          self.nixosModules.default
          {
            services.aistack = served { } // {
              enable = true;
            };
          }
          { services.nginx.virtualHosts."kb.test".enableACME = true; }
        ]).assertions
      );
      expected = true;
    };
    # Each provider alone has nothing to complain about, and makes what it says.
    testProviders = {
      expr = lib.mapAttrs (_: tls: complaints (served tls)) providers;
      expected = lib.mapAttrs (_: _: [ ]) providers;
    };
    testUnitsOfProviders = {
      expr = lib.mapAttrs (
        _: tls:
        lib.filter (lib.hasInfix "certbot") (lib.attrNames (with' (served tls)).systemd.services)
        ++ lib.attrNames (with' (served tls)).security.acme.certs
      ) providers;
      expected = {
        selfSigned = [ ];
        acme = [ "kb.test" ];
        dns = [ "kb.test" ];
        certbot = [ "aistack-certbot@" ];
        files = [ ];
      };
    };
    testNoUnitWithoutNginx = {
      expr = lib.filter (lib.hasPrefix "aistack-tls") (lib.attrNames enabled.systemd.services);
      expected = [ ];
    };
    testProofByDnsOpensNoPath = {
      expr =
        (with' (served providers.dns)).services.nginx.virtualHosts.aistack-http.locations
        ? "^~ /.well-known/acme-challenge/";
      expected = false;
    };
    testStagingServer = {
      expr =
        let
          inherit
            (with' (
              served (
                providers.acme
                // {
                  acme = providers.acme.acme // {
                    staging = true;
                  };
                }
              )
            ))
            security
            services
            ;
        in
        lib.hasInfix "staging" security.acme.certs."kb.test".server
        && services.aistack.settings.tls.staging;
      expected = true;
    };
    testAliasesAreCertified = {
      expr =
        (evaluate [
          self.nixosModules.default
          {
            services.aistack = served providers.acme // {
              enable = true;
            };
          }
          { services.nginx.virtualHosts."kb.test".serverAliases = [ "b.test" ]; }
        ]).security.acme.certs."kb.test".extraDomainNames;
      expected = [ "b.test" ];
    };
    testTheRedirectKeepsThePort = {
      expr =
        (evaluate [
          self.nixosModules.default
          {
            services.aistack = served { } // {
              enable = true;
              openFirewall = true;
            };
          }
          { services.nginx.defaultSSLListenPort = 8443; }
        ]).services.nginx.virtualHosts.aistack-http.locations."/".return;
      expected = "308 https://$host:8443$request_uri";
    };
    testCollectionName = complains "services.aistack.collections" { collections."No Name" = { }; };

    # A path literal would copy the secret to the store.
    testSecretInTheStore = refuses [ "adminKeyFile" ] { adminKeyFile = ./eval.nix; };
    testPortOutOfRange = refuses [ "aidb" "port" ] { aidb.port = 70000; };

    testLlamaCpp = {
      expr =
        (with' {
          embeddings = {
            llamaCpp.model = "/models/nomic-embed.gguf";
            dimension = 768;
          };
        }).services.aistack.settings.embeddings;
      expected = {
        endpoint = "http://127.0.0.1:8093/v1";
        model = "nomic-embed";
        dimension = 768;
      };
    };

    testMigrationWaitsForTheDatabase = {
      expr =
        lib.elem "postgresql.target" (unit "aistack-migrate").after
        && lib.elem "postgresql.target" (unit "aistack-migrate").requires;
      expected = true;
    };
    testAidbWaitsForTheMigration = {
      expr =
        lib.elem "aistack-migrate.service" (unit "aistack-aidb").after
        && lib.elem "aistack-migrate.service" (unit "aistack-aidb").wants;
      expected = true;
    };
    # nginx, the firewall and the sandbox go by the options: one place says it, or none.
    testAnOptionAndItsSettingDoNotPart = refuses [ "settings" "aidb" "port" ] {
      settings.aidb.port = 9000;
    };
    testSettingsWithoutAnOption = {
      expr = (with' { settings.aidb.shutdown_s = 5; }).services.aistack.settings.aidb.shutdown_s;
      expected = 5;
    };
    testFirewallLeavesTheBackendClosed = {
      expr =
        (with' {
          openFirewall = true;
          aidb.address = "0.0.0.0";
          nginx = {
            enable = true;
            domain = "kb.test";
          };
        }).networking.firewall.allowedTCPPorts;
      expected = [
        80
        443
      ];
    };
    testSandboxCanBeOverridden = {
      expr =
        (evaluate [
          self.nixosModules.default
          {
            services.aistack.enable = true;
            systemd.services.aistack-aidb.serviceConfig.ProtectHome = false;
          }
        ]).systemd.services.aistack-aidb.serviceConfig.ProtectHome;
      expected = false;
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
  };

  failures =
    results
    ++ lib.runTests (
      import ./eval/monitoring {
        inherit
          lib
          self
          complaints
          evaluate
          served
          with'
          ;
      }
    );
in
if failures == [ ] then
  pkgs.runCommand "aistack-eval" { } "touch $out"
else
  throw (
    "evaluation checks failed:\n"
    + lib.concatMapStringsSep "\n" (
      r: "  ${r.name}: expected ${builtins.toJSON r.expected}, got ${builtins.toJSON r.result}"
    ) failures
  )
