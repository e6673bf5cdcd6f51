# What is reached from another host, over IPv4 and IPv6, is what was asked for and nothing else; and who
# on the host itself reaches the stores' sockets. The check `secrets` looks at a host with every part on.
{ lib, ... }:
{
  name = "aistack-network";

  # Nothing was asked for.
  nodes.plain.services.aistack.enable = true;

  # A virtual host for others; without openFirewall it is there, but closed.
  nodes.web = {
    services.aistack = {
      enable = true;
      openFirewall = true;
      coordinator.enable = false;
      nginx = {
        enable = true;
        domain = "web.test";
      };
    };
    specialisation.closed.configuration.services.aistack.openFirewall = lib.mkForce false;
  };

  nodes.guest = { };

  testScript =
    { nodes, ... }:
    let
      redis = nodes.plain.services.redis.servers.aistack;
      addresses =
        node: ''["${node.networking.primaryIPAddress}", "${node.networking.primaryIPv6Address}"]'';
    in
    import ./lib/network.nix
    + ''
      start_all()
      plain.wait_for_unit("aistack-aidb.service")
      plain.wait_for_unit("aistack-coordinator.service")
      web.wait_for_unit("aistack-aidb.service")
      web.wait_for_unit("nginx.service")
      web.wait_for_open_port(443)
      guest.wait_for_unit("multi-user.target")

      with subtest("a plain host is reached by nobody"):
          beyond, ports = listening(plain)
          t.assertEqual(beyond, {})
          t.assertLessEqual({("tcp", port) for port in (6333, 8091, 8092)}, ports)
          t.assertEqual(reached(guest, ${addresses nodes.plain}, {port for _, port in ports}), set())

      with subtest("one with a virtual host by it alone"):
          beyond, ports = listening(web)
          t.assertEqual(beyond, {("tcp", port): {"0.0.0.0", "::"} for port in (80, 443)})
          served = {(address, port) for address in ${addresses nodes.web} for port in ("80", "443")}
          t.assertEqual(reached(guest, ${addresses nodes.web}, {port for _, port in ports}), served)

      with subtest("not even by it where the firewall was not to be opened"):
          closed = "${nodes.web.system.build.toplevel}/specialisation/closed"
          web.succeed(f"{closed}/bin/switch-to-configuration test >&2")
          t.assertEqual(listening(web), (beyond, ports))
          t.assertEqual(reached(guest, ${addresses nodes.web}, {port for _, port in ports}), set())

      with subtest("PostgreSQL knows users of the host, and each by their own name alone"):
          psql = "psql -h /run/postgresql -d aistack -tAc 'select 1'"
          plain.succeed(f"runuser -u aistack -- {psql}")
          for user in ("nobody", "${redis.user}"):
              plain.fail(f"runuser -u {user} -- {psql}")
              told = plain.fail(f"runuser -u {user} -- {psql} -U aistack 2>&1")
              t.assertIn("Peer authentication failed", told)

      with subtest("Redis and the services' own folders are closed to others"):
          plain.fail("runuser -u nobody -- test -w ${redis.unixSocket}")
          plain.succeed("runuser -u aistack -G ${redis.group} -- test -w ${redis.unixSocket}")
          for folder in plain.succeed("ls -d /run/aistack-* /var/lib/aistack-*").split():
              t.assertIn(plain.succeed(f"stat -c %a {folder}").strip(), ("700", "750"), folder)

      with subtest("every socket of the file system that others may write to is known"):
          asked = "ss --listening --unix --no-header | awk '$5 ~ /^\\// {print $5}' | sort -u"
          sockets = plain.succeed(asked).replace("/var/run/", "/run/").split()
          open_to_all = {
              socket
              for socket in sockets
              if plain.execute(f"runuser -u nobody -- test -w {socket}")[0] == 0
              # Every NixOS has these.
              and not socket.startswith(("/run/systemd/", "/run/dbus/", "/run/nscd/", "/nix/var/nix/daemon-socket/"))
          }
          # Who connects there is asked for their name, see above.
          t.assertEqual(open_to_all, {"/run/postgresql/.s.PGSQL.5432"})
    '';
}
