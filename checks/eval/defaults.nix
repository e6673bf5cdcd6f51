# What a host gets that enables it and says no more; and what it gets while it is off.
{
  lib,
  self,
  evaluate,
  with',
  enabled,
  complaints,
  complains,
  unit,
  ...
}:
let
  plain = evaluate [ ];

  withModule = evaluate [ self.nixosModules.default ];

  toplevel = config: builtins.unsafeDiscardStringContext config.system.build.toplevel.drvPath;
in
{
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
}
