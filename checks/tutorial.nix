# A newcomer's way: the commands of docs/tutorial/first-host.md, as they stand there.
#
# A machine without a network can build nothing. So nixos-rebuild stands in here: it looks whether it
# was given the template's host, and switches to the same configuration, which came with the check.
# That the template's flake builds is shown by the check `template`.
{ self }:
{ lib, pkgs, ... }:
let
  commands = import ./lib/commands.nix { inherit lib; } ../docs/tutorial/first-host.md;
  typed = marker: builtins.toJSON (lib.concatStringsSep "\n" (commands marker));

  rebuild = pkgs.writeShellScriptBin "nixos-rebuild" ''
    set -euo pipefail
    [[ $* == "switch --flake .#kb" ]]
    grep -q 'url = "path:/' flake.nix
    cmp host.nix ${../templates/host/host.nix}
    cmp configuration.nix /etc/nixos/configuration.nix
    cmp hardware-configuration.nix /etc/nixos/hardware-configuration.nix
    git ls-files --error-unmatch flake.nix host.nix configuration.nix
    exec /run/booted-system/specialisation/kb/bin/switch-to-configuration test
  '';
in
{
  name = "aistack-tutorial";

  nodes.kb = {
    environment = {
      etc."nixos/configuration.nix".text = "{ imports = [ ./hardware-configuration.nix ]; }\n";
      etc."nixos/hardware-configuration.nix".text = "{ }\n";
      systemPackages = [
        (lib.hiPrio rebuild)
        pkgs.git
        pkgs.nix
      ];
    };
    services.openssh.enable = true;
    # As a host has it, and no machine of a check.
    documentation.enable = lib.mkForce true;
    virtualisation.memorySize = 3072;
    specialisation.kb.configuration = {
      imports = [ ../templates/host/host.nix ];
      # Slow to start, and tried by the check `monitoring`.
      services.aistack.monitoring.grafana.enable = false;
    };
  };

  nodes.laptop =
    { nodes, ... }:
    {
      networking.extraHosts = "${nodes.kb.networking.primaryIPAddress} kb.example.org";
      environment.systemPackages = [
        pkgs.curl
        pkgs.openssh
      ];
    };

  testScript = ''
    import json

    start_all()
    laptop.succeed("ssh-keygen -q -t ed25519 -N \"\" -f /root/.ssh/id_ed25519")
    public = laptop.succeed("cat /root/.ssh/id_ed25519.pub").strip()
    kb.succeed(f"install -d -m 700 /root/.ssh && echo '{public}' > /root/.ssh/authorized_keys")
    kb.wait_for_open_port(22)
    laptop.succeed("ssh-keyscan kb.example.org > /root/.ssh/known_hosts 2> /dev/null")

    with subtest("the template, beside the configuration that is there"):
        take = ${typed "template"}
        t.assertIn("git+https://your.forge/aistack", take)
        kb.succeed(take.replace("git+https://your.forge/aistack", "path:${self}"))

    with subtest("one switch, and all is well"):
        print(kb.succeed("cd /root/kb\n" + ${typed "switch"}))

    with subtest("a note is found"):
        t.assertIn("IPP on port 631", kb.succeed(${typed "import"}))

    with subtest("keys"):
        admin, key = kb.succeed(${typed "admin"}).strip(), kb.succeed(${typed "key"}).strip()
        t.assertTrue(admin.startswith("aistack_") and key.startswith("aistack_"))

    with subtest("another computer asks, by HTTP and by MCP"):
        laptop.succeed(${typed "trust"})
        found = json.loads(laptop.succeed(f"KEY={key}\n" + ${typed "ask"}))
        t.assertEqual(found["hits"][0]["path"], "printer.md")
        called = json.loads(laptop.succeed(f"KEY={key}\n" + ${typed "mcp"}))
        t.assertEqual(called["result"]["structuredContent"]["hits"][0]["path"], "printer.md")

    with subtest("nothing went wrong"):
        t.assertNotIn("unit", kb.succeed(${typed "issues"}))

    with subtest("the command's manual is there"):
        kb.succeed("ls /run/current-system/sw/share/man/man1/aistack-keys-create.1*")
  '';
}
