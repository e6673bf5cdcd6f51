# The sandbox of the units, and the firewall around them.
{
  lib,
  self,
  evaluate,
  enabled,
  with',
  ...
}:
{
  # systemd refuses a unit without one, and with it whatever requires it.
  testEachUnitHasACommand = {
    expr =
      lib.concatMap
        (
          host:
          lib.attrNames (
            lib.filterAttrs (
              name: unit: lib.hasPrefix "aistack" name && !unit.serviceConfig ? ExecStart
            ) host.systemd.services
          )
        )
        [
          enabled
          # No key to make.
          (with' { adminKeyFile = "/run/secrets/admin-key"; })
        ];
    expected = [ ];
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
  testNoServiceTakesAllOfTheMemory = {
    expr = map (name: enabled.systemd.services.${name}.serviceConfig.MemoryMax) [
      "aistack-aidb"
      "aistack-coordinator"
    ];
    expected = [
      "50%"
      "50%"
    ];
  };
  testTheLookAtTheHealthStartsNothing = {
    expr = {
      inherit (enabled.systemd.services.aistack-health)
        after
        bindsTo
        requires
        wants
        ;
    };
    expected = {
      after = [ ];
      bindsTo = [ ];
      requires = [ ];
      wants = [ ];
    };
  };
  testPostgresqlsGuardHasNoLimitOfStarts = {
    expr = enabled.systemd.services.aistack-postgresql-major.unitConfig.StartLimitIntervalSec;
    expected = 0;
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
}
