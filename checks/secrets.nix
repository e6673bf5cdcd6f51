# No secret of the stack is where it does not belong: with every part on, at work and failing, all of
# them are looked for in all that processes show, say and write. And nothing listens but what was asked.
#
# One secret more, the canary, is put everywhere on purpose: what finds it there would find the others.
{ lib, pkgs, ... }:
let
  secretsOf = import ./lib/secrets-of.nix { inherit lib; };
  backups = import ./lib/backups.nix;
  python = lib.getExe pkgs.python3;
  leaks = "${python} ${./lib/leaks.py}";
  password = "/var/lib/given/password";

  # From before the first unit until the end.
  watched = {
    systemd.services.watch = {
      unitConfig.DefaultDependencies = false;
      wantedBy = [ "sysinit.target" ];
      before = [ "sysinit.target" ];
      serviceConfig = {
        ExecStartPre = "${pkgs.coreutils}/bin/mkdir -p -m 700 /root/check/processes";
        ExecStart = "${leaks} watch /root/check/processes";
        CPUWeight = 1000;
      };
    };
    environment.systemPackages = [
      pkgs.curl
      pkgs.redis
    ];
  };
in
{
  name = "aistack-secrets";

  # Every part, with every secret supplied.
  nodes.kb = {
    imports = [
      ./lib/every-part.nix
      watched
    ];
    environment.etc.handbook.source = ../docs/how-to;
    virtualisation.memorySize = 4096;
    # A failing unit of ours, whose journal becomes an issue.
    systemd.services.aistack-broken = {
      script = ''
        echo "tried with api_key=$(cat /var/lib/given/canary)"
        exit 3
      '';
      serviceConfig.Type = "oneshot";
    };
  };

  # The secrets that are made on the host, and those of stores elsewhere; and whom the other node asks.
  nodes.other =
    { config, ... }:
    {
      imports = [
        backups.store
        watched
      ];
      services.aistack = {
        enable = true;
        postgresql = {
          createLocally = false;
          url = "postgresql://aistack@127.0.0.1/aistack";
          passwordFile = password;
        };
        redis = {
          createLocally = false;
          url = "redis://127.0.0.1:6379/0";
          passwordFile = password;
        };
        nginx = {
          enable = true;
          domain = "other.test";
        };
        monitoring.enable = true;
      };
      services.postgresql = {
        enable = true;
        enableTCPIP = true;
        settings.listen_addresses = lib.mkForce "127.0.0.1";
        ensureDatabases = [ "aistack" ];
        ensureUsers = [
          {
            name = "aistack";
            ensureDBOwnership = true;
          }
        ];
        authentication = lib.mkForce ''
          local all all peer
          host aistack aistack 127.0.0.1/32 scram-sha-256
        '';
      };
      systemd.services.postgresql-setup = {
        serviceConfig.LoadCredential = "password:${password}";
        postStart = ''
          printf "alter role aistack password '%s'" "$(< "$CREDENTIALS_DIRECTORY/password")" |
            ${lib.getExe' config.services.postgresql.finalPackage "psql"} --quiet --dbname postgres
        '';
      };
      services.redis.servers."" = {
        enable = true;
        requirePassFile = password;
      };
      system.activationScripts.given = {
        deps = [ "specialfs" ];
        text = ''
          umask 077
          mkdir -p /var/lib/given
          [ -e ${password} ] || ${lib.getExe pkgs.openssl} rand -hex 20 > ${password}
          umask 022
        '';
      };
      systemd.services.sink = {
        wantedBy = [ "multi-user.target" ];
        serviceConfig.ExecStart = "${python} ${./lib/sink.py} 8000 /root/requests";
      };
      networking.firewall.allowedTCPPorts = [ 8000 ];
      virtualisation.memorySize = 4096;
    };

  testScript =
    { nodes, ... }:
    let
      kb = nodes.kb.services.aistack;
      secrets = {
        kb = secretsOf nodes.kb.specialisation.next.configuration;
        other = secretsOf nodes.other;
      };
    in
    import ./lib/network.nix
    + backups.functions
    + ''
      import json
      import shlex

      # Node -> file -> names, units and users that systemd hands it to.
      secrets = ${builtins.toJSON secrets}
      canary = "/var/lib/given/canary"
      work = "/root/check"
      # Those that other hosts are told within a minute.
      told_to_others = ("headers", "model-key", "ntfy-token", "ntfy-url", "remote-write-token", "webhook-url")


      def found(node, files, *paths):
          """Where these secrets are: (file of the secret, path)."""
          asked = f"{shlex.quote(json.dumps(files))} /run/current-system {' '.join(paths)}"
          told = json.loads(node.succeed(f"${leaks} find {asked}"))
          return {(secret, path) for secret, _, path in told}


      def written(node):
          """Everything that the node says and keeps, in files below the work folder."""
          node.succeed(
              "sync",
              f"journalctl --output export --no-pager > {work}/journal",
              f"runuser -u postgres -- pg_dumpall > {work}/dump",
              "systemctl stop watch.service",
          )
          processes = int(node.succeed(f"ls {work}/processes | wc -l"))
          t.assertGreater(processes, 100)
          node.log(f"{processes // 2} processes were seen")


      everywhere = ("/etc", "/run", "/var", "/tmp", "/root", "/home", "/srv", "/dev/shm")


      def seen_at(path):
          """What of the node this is, and whose: a file, or what a process showed."""
          if not path.startswith(f"{work}/processes/"):
              return path, ""
          _, user, *_, kind = path.rsplit("/", 1)[1].split(".")
          return kind, user


      def belongs(node, secret, path):
          """Whether a secret may be there."""
          uses = secrets[node.name][secret]
          place, user = seen_at(path)
          if place == "environment":
              # Programs that take it in no other way; nobody else but root sees it there.
              names = {"qdrant": "qdrant-api-key", "postgres": "backup-"}
              return user in names and any(name.startswith(names[user]) for name in uses["names"])
          if path.startswith("/run/credentials/"):
              unit = path.split("/")[3].removesuffix(".service")
              return unit in uses["units"] or unit.split("@")[0] + "@" in uses["units"]
          if path == "/run/aistack-qdrant-key/qdrant.env":
              return "qdrant-api-key" in uses["names"]
          if path.startswith("/var/lib/aistack-tls/"):
              return "tls-key" in uses["names"]
          if path == f"{work}/header":
              return secret == "${kb.adminKeyFile}"
          # The check's own Redis.
          return path == secret or (secret == "${password}" and path.startswith(("/run/redis", "/var/lib/redis")))


      start_all()
      other.wait_for_unit("sshd.service")
      public = kb.succeed("cat /var/lib/given/ssh.pub").strip()
      other.succeed(
          "install -d -m 700 -o kb /srv/kb/.ssh",
          f"echo '{public}' >> /srv/kb/.ssh/authorized_keys",
          "chown -R kb /srv/kb/.ssh && chmod 600 /srv/kb/.ssh/authorized_keys",
      )
      kb.succeed("ssh-keyscan other > /etc/store-hosts 2> /dev/null")
      # Also where a platform has no Grafana to want it.
      other.succeed("systemctl start aistack-grafana-secrets.service")
      for node in (kb, other):
          node.wait_for_unit("aistack-aidb.service")
          node.wait_for_unit("nginx.service")

      with subtest("the stack is used"):
          kb.succeed(f"install -d -m 700 {work} && printf 'Authorization: Bearer %s' \"$(< ${kb.adminKeyFile})\" > {work}/header")
          ask = f"curl -sS --cacert ${kb.tls.certificateFile} -H @{work}/header https://kb.test"
          kb.succeed("aistack ingest --collection nixos_docs /etc/handbook/ >&2")
          query = json.dumps({"query": "restore a backup", "collection": "nixos_docs"})
          kb.wait_until_succeeds(f"{ask}/v1/query --fail-with-body --json '{query}' | grep -q chunk")
          kb.succeed(f"{ask}/v1/collections --fail")
          kb.succeed(f"{ask}/metrics --fail")
          kb.succeed(
              "{ printf key=; cat ${kb.adminKeyFile}; } | curl -sS --cacert ${kb.tls.certificateFile}"
              " -H 'Origin: https://kb.test' --data @- https://kb.test/console/sign-in"
          )
          kb.succeed("aistack keys list >&2")

      with subtest("the stack works, fails, crashes and is switched"):
          kb.fail("systemctl start aistack-broken.service")
          kb.succeed("systemctl kill --signal=SEGV aistack-coordinator.service")
          jobs = ("backup", "gc", "health", "tls-renew")
          kb.execute(f"systemctl start {' '.join(f'aistack-{job}.service' for job in jobs)}")
          kb.succeed("systemctl start aistack-backup-drill.service")
          told = kb.succeed("aistack backup list --json")
          t.assertEqual({one["repository"] for one in json.loads(told) if one["physical"]}, {"local", "away"})
          # Units that failed before are told of as failures of the switch.
          kb.execute("${nodes.kb.system.build.toplevel}/specialisation/next/bin/switch-to-configuration test >&2")
          kb.succeed("grep -q s3-id /etc/systemd/system/aistack-backup.service")
          kb.wait_for_unit("aistack-aidb.service")
          kb.succeed("systemctl start --no-block aistack-backup.service")
          kb.wait_until_succeeds(f"grep -rq S3_KEY_SECRET {work}/processes")
          kb.succeed("systemctl stop aistack-backup.service")
          kb.wait_until_succeeds("aistack issues list --status any | grep aistack-broken")

      with subtest("nothing listens beyond loopback but what was asked, and nothing else is reached"):
          beyond, ports = listening(kb)
          t.assertEqual(beyond, {("tcp", port): {"0.0.0.0", "::"} for port in (80, 443)})
          addresses = [
              "${nodes.kb.networking.primaryIPAddress}",
              "${nodes.kb.networking.primaryIPv6Address}",
          ]
          t.assertEqual(
              reached(other, addresses, {port for _, port in ports}),
              {(address, port) for address in addresses for port in ("80", "443")},
          )

      with subtest("the canary is put everywhere"):
          kb.succeed(
              f"base64 {canary} > /tmp/left",
              f"tr -d '\\n' < {canary} | od -An -tx1 | tr -d ' \\n' > /run/left",
              # Not by another name of sleep: nixpkgs' coreutils are one program, which goes by its name.
              f"bash -c 'sleep 900; true' $(cat {canary}) > /dev/null 2>&1 &",
              f"TOKEN=$(cat {canary}) runuser -u nobody -- sleep 900 > /dev/null 2>&1 &",
              f"redis-cli -s ${nodes.kb.services.redis.servers.aistack.unixSocket} -x set left < {canary}",
              f"runuser -u postgres -- psql -qc \"comment on database aistack is '$(cat {canary})'\"",
              f"cat {canary} > /var/backup/aistack/left",
          )
          for kind in ("arguments", "environment"):
              kb.wait_until_succeeds(f"grep -rqFf {canary} --include '*.{kind}' {work}/processes")

      with subtest("secrets are nowhere but where they belong, and the canary is found everywhere"):
          cli = "redis-cli -s ${nodes.kb.services.redis.servers.aistack.unixSocket}"
          kb.succeed(f"{cli} config set rdbcompression no", f"{cli} --rdb {work}/redis")
          for node in (kb, other):
              written(node)
          files = list(secrets["kb"])
          hits = found(kb, [canary, *files], *everywhere)
          kb.log(f"{len(files)} secrets of kb, in {len({path for _, path in hits})} files: {sorted(hits)}")
          places = {seen_at(path)[0] for secret, path in hits if secret == canary}
          for place in (
              canary, "/tmp/left", "/run/left", "arguments", "environment", "/var/backup/aistack/left",
              f"{work}/journal", f"{work}/dump", f"{work}/redis",
          ):
              t.assertIn(place, places)
          expected = {(file, file) for file in files}
          t.assertLessEqual(expected, hits)
          t.assertEqual({hit for hit in hits if hit[0] != canary and not belongs(kb, *hit)}, set())
          hits = found(other, list(secrets["other"]), *everywhere)
          other.log(f"secrets of other: {sorted(hits)}")
          t.assertEqual({hit for hit in hits if not belongs(other, *hit)}, set())

      with subtest("each is root's, and where it was handed over, for those alone who need it"):
          for node in (kb, other):
              files = list(secrets[node.name])
              modes = node.succeed(f"stat -c '%a %U %n' {' '.join(files)}").splitlines()
              t.assertEqual([line for line in modes if line.split()[:2] not in (["600", "root"], ["400", "root"])], [])
          copies: dict[str, set[str]] = {}
          for secret, path in found(kb, list(secrets["kb"]), "/run", "/var/lib"):
              copies.setdefault(path, set()).update(secrets["kb"][secret]["users"])
          users = {"nobody", "nginx", "postgres", "aistack"}.union(*copies.values()) - {"root"}
          for user in users:
              if kb.execute(f"getent passwd {user}")[0] == 0:
                  for path in json.loads(kb.succeed(f"${leaks} read {user} {' '.join(copies)}")):
                      nginx = user == "nginx" and path.startswith("/var/lib/aistack-tls/")
                      t.assertTrue(nginx or user in copies[path], f"{user} can read {path}")

      with subtest("other hosts are told what they must be, and nothing else"):
          given = kb.succeed("tar -cz -C /var/lib given | base64 -w0")
          other.succeed(f"echo {given} | base64 -d | tar -xz -C {work} && rm {work}/given/*.made {work}/given/*.pub")
          theirs = {f"{work}/given/{name}" for name in told_to_others}
          sent = {secret for secret, _ in found(other, sorted(theirs), "/root/requests")}
          t.assertEqual(sent, theirs)
          ours = other.succeed(f"ls {work}/given/* | grep -v tls-certificate").split()
          t.assertGreater(int(other.succeed("find /srv/kb/backup -type f | wc -l")), 10)
          t.assertEqual(found(other, ours, "/srv", "/tmp", "/home", "/var/log"), set())

      with subtest("what crashed has left no core"):
          kb.succeed("test -z \"$(ls -A /var/lib/systemd/coredump 2> /dev/null)\"")
    '';
}
