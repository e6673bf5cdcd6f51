# Several instances behind a balancer.
{
  lib,
  with',
  enabled,
  complains,
  refuses,
  ...
}:
let
  three = with' { aidb.instances = 3; };

  restartsThem = config: config.systemd.services.aistack-aidb-instances.restartTriggers;
in
{
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
          coordinator.workers = 2;
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
}
