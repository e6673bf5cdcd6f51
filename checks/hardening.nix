# Every unit of ours stays under an exposure of 1.5, and the sandbox bites.
{ lib, ... }:
{
  name = "aistack-hardening";

  nodes.machine.services.aistack = {
    enable = true;
    nginx = {
      enable = true;
      domain = "kb.test";
    };
    # The provider with the most units.
    tls = {
      provider = "certbot";
      acme.acceptTerms = true;
    };
    # The widest sandbox: other hosts are reached.
    backups = {
      enable = true;
      repositories = { inherit (import ./lib/backups.nix) repository; };
    };
    monitoring.enable = true;
    redis = {
      createLocally = false;
      url = "redis://redis.test:6379";
    };
  };

  testScript =
    { nodes, ... }:
    let
      ours = lib.filterAttrs (
        name: unit: lib.hasPrefix "aistack" name && unit.enable
      ) nodes.machine.systemd.services;
    in
    ''
      machine.wait_for_unit("aistack-aidb.service")

      with subtest("exposure"):
          units = ${
            builtins.toJSON (
              map (name: "${lib.replaceStrings [ "@" ] [ "@one" ] name}.service") (lib.attrNames ours)
            )
          }
          t.assertGreater(len(units), 10)
          for unit in units:
              machine.succeed(f"systemd-analyze security --no-pager --threshold=15 {unit} >&2")

      with subtest("AIDB sees neither other users' processes nor homes, and writes nowhere"):
          pid = machine.get_unit_property("aistack-aidb.service", "MainPID")
          inside = f"nsenter --target {pid} --mount --user --preserve-credentials"
          machine.succeed(f"{inside} test -e /etc/hosts")
          machine.fail(f"{inside} touch /var/lib/x")
          machine.succeed("touch /root/mark")
          machine.fail(f"{inside} test -e /root/mark")
          machine.succeed(f"grep -E '^CapEff:[[:space:]]*0+$' /proc/{pid}/status")
          machine.succeed(f"grep -E '^NoNewPrivs:[[:space:]]*1$' /proc/{pid}/status")

      with subtest("every unit of ours belongs to the slice"):
          machine.succeed("systemctl show -P Slice aistack-aidb.service | grep -x aistack.slice")
    '';
}
