# The issue tracker: whose failures are recorded, and by what.
{
  lib,
  with',
  served,
  enabled,
  complains,
  unit,
  ...
}:
{
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
  testIssuesOfOrdersThatFail = {
    expr =
      (with' (served {
        provider = "acme";
        acme.acceptTerms = true;
        acme.email = "admin@kb.test";
      })).systemd.services."acme-order-renew-kb.test".onFailure;
    expected = [ "aistack-issue@%n.service" ];
  };
  testIssuesOfMonitoring =
    let
      inherit (with' { monitoring.enable = true; }) systemd;
      unrecorded = name: systemd.services.${name}.onFailure != [ "aistack-issue@%n.service" ];
    in
    {
      expr = lib.filter unrecorded [
        "alertmanager"
        "grafana"
        "prometheus"
        "prometheus-node-exporter"
      ];
      expected = [ ];
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
}
