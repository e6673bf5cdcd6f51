# Every unit of ours is exposed no more than the reference says, and the sandbox bites.
{ lib, pkgs, ... }:
let
  hardening = import ../modules/lib/hardening.nix { inherit lib; };

  # A unit's file, by a name that systemd-analyze takes, and what its sandbox lacks.
  described =
    config: name:
    let
      file = "${lib.replaceStrings [ "@" ] [ "@one" ] name}.service";
    in
    hardening.differences config.systemd.services.${name}.serviceConfig
    // {
      file =
        pkgs.writeTextFile {
          name = "unit";
          destination = "/${file}";
          inherit (config.systemd.units."${name}.service") text;
        }
        + "/${file}";
    };
  unitsOf =
    host: config:
    lib.mapAttrs (name: _: { ${host} = described config name; }) (
      lib.filterAttrs (name: unit: lib.hasPrefix "aistack" name && unit.enable) config.systemd.services
    );
in
{
  name = "aistack-hardening";

  # All parts, and no other host is reached but an authority.
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
    backups.enable = true;
    monitoring.enable = true;
  };

  # All parts, with all that is elsewhere. It is not started: its units are looked at.
  nodes.reaching = {
    imports = [ ./lib/every-part.nix ];
    services.aistack.aidb = {
      instances = 2;
      hosts = [ "other:8091" ];
    };
  };

  testScript =
    { nodes, ... }:
    let
      units = lib.recursiveUpdate (unitsOf "here" nodes.machine) (unitsOf "elsewhere" nodes.reaching);
      json = name: value: pkgs.writeText name (builtins.toJSON value);
    in
    ''
      machine.start()
      machine.wait_for_unit("aistack-aidb.service")

      with subtest("exposure"):
          status, told = machine.execute(
              "${lib.getExe pkgs.python3} ${./lib/exposure.py} ${json "units.json" units}"
              " ${json "reasons.json" hardening.reasons} ${../docs/reference/exposure.md}"
              " 2>&1 > /tmp/exposure.md"
          )
          machine.copy_from_machine("/tmp/exposure.md")
          t.assertEqual(status, 0, told)
          t.assertGreater(int(machine.succeed("grep -c '^| .aistack-' /tmp/exposure.md")), 10)

      with subtest("AIDB sees neither other users' processes nor homes, writes nowhere and leaves no core"):
          pid = machine.get_unit_property("aistack-aidb.service", "MainPID")
          inside = f"nsenter --target {pid} --mount --user --preserve-credentials"
          machine.succeed(f"{inside} test -e /etc/hosts")
          machine.fail(f"{inside} touch /var/lib/x")
          machine.succeed("touch /root/mark")
          machine.fail(f"{inside} test -e /root/mark")
          machine.succeed(f"grep -E '^CapEff:[[:space:]]*0+$' /proc/{pid}/status")
          machine.succeed(f"grep -E '^NoNewPrivs:[[:space:]]*1$' /proc/{pid}/status")
          machine.succeed(f"grep -E '^Max core file size +0 +0 ' /proc/{pid}/limits")

      with subtest("every unit of ours belongs to the slice"):
          machine.succeed("systemctl show -P Slice aistack-aidb.service | grep -x aistack.slice")
    '';
}
