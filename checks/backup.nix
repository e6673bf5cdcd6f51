# Backups to a folder and to another host: made, listed, verified, restored for a try, encrypted, and
# found out where they are damaged or impossible.
{ lib, ... }:
let
  backups = import ./lib/backups.nix;
  # No job of its own while this check runs, whatever the clock says; the defaults are eval's.
  schedule = "*-02-29 02:00:00";
in
{
  name = "aistack-backup";

  nodes.store = backups.store;

  nodes.machine =
    { pkgs, ... }:
    {
      services.aistack = {
        enable = true;
        backups = {
          enable = true;
          repositories = {
            inherit (backups) repository;
            local.path = "/var/backup/aistack";
          };
          inherit schedule;
          randomizedDelay = "0";
          verify = { inherit schedule; };
          drill = { inherit schedule; };
          hooks = {
            before = ''[[ ! -e /etc/no-backup ]] || { echo "not now" >&2; exit 1; }'';
            after = ''echo "the hook saw: $SERVICE_RESULT"'';
          };
        };
        # This check asks more than a person would.
        settings.rate_limits.per_minute = 600;
      };
      environment.systemPackages = [
        pkgs.curl
        pkgs.openssh
      ];
    };

  testScript =
    { nodes, ... }:
    let
      inherit (nodes.machine.services.aistack) aidb package settings;
      drill = "${lib.getExe package} backup drill --repository local";
    in
    backups.functions
    + import ./lib/metrics.nix
    + ''
      import json

      aidb = "http://127.0.0.1:${toString aidb.port}"
      authorized = "-H \"Authorization: Bearer $(cat /var/lib/aistack-secrets/admin-key)\""
      key_file = "/var/lib/aistack-backup-key/key"
      # A word that is nowhere else.
      word = "Quittenbrotfabrikant"
      folder = "/var/backup/aistack"


      def backup(arguments):
          return json.loads(machine.succeed(f"aistack backup {arguments} --json"))


      def job(name, result="success"):
          """Let a unit run, as its timer would, and see how it ended."""
          machine.execute(f"systemctl start aistack-backup{name}.service")
          ended = machine.get_unit_property(f"aistack-backup{name}.service", "Result")
          if ended != result:
              print(machine.execute(f"journalctl -u aistack-backup{name} -n 40 -o cat --no-pager")[1])
          t.assertEqual(ended, result)


      def tells(metric, **expected):
          """For each of these repositories the metric has this value."""
          names = {f'{metric}{{repository="{one}"}}': value for one, value in expected.items()}
          return lambda found: all(found.get(name) == value for name, value in names.items())


      def journal(unit):
          return machine.succeed(f"journalctl -u {unit} -o cat --no-pager")


      def up():
          machine.wait_for_unit("aistack-aidb.service")
          machine.wait_until_succeeds(f"curl -sf {aidb}/health/ready")


      def indexed():
          """Whether search knows the document; the index follows in a moment."""
          query = json.dumps({"query": word, "collection": "nixos_docs"})
          out = machine.succeed(f"curl -sf {authorized} {aidb}/v1/query --json '{query}'")
          return any(word in hit["text"] for hit in json.loads(out)["hits"])


      machine.start(allow_reboot=True)
      store.start()
      store.wait_for_open_port(22)
      up()

      with subtest("without the other host's key the database runs, and says what it misses"):
          machine.succeed("runuser -u postgres -- psql -qtc 'select pg_switch_wal()'")
          machine.wait_until_succeeds("journalctl -u postgresql --no-pager | grep 'known hosts failure'")
          job("", "exit-code")
          # That one is away holds up neither the backup of the other nor its WAL.
          tried = {(p["repository"], p["part"]): p["state"] for p in backup("status")["parts"]}
          t.assertEqual(tried["local", "postgresql"], "ok")
          t.assertEqual(tried["repository", "postgresql"], "failed")

      let_in(machine, store)
      machine.succeed("systemctl restart postgresql.service")
      up()

      with subtest("the key was made, for root alone, and the journal says to copy it"):
          t.assertEqual(machine.succeed(f"stat -c '%a %U' {key_file}").strip(), "600 root")
          t.assertIn("OFF THIS HOST", journal("aistack-backup-key"))
          key = machine.succeed(f"cat {key_file}").strip()
          t.assertEqual(len(key), 64)

      with subtest("the timers wait for their time"):
          for name in ("", "-verify", "-drill"):
              unit = f"aistack-backup{name}.timer"
              machine.wait_for_unit(unit)
              t.assertEqual(machine.get_unit_property(unit, "Persistent"), "yes")

      machine.succeed(
          "mkdir /tmp/books",
          f"for n in {{1..30}}; do echo \"Leaf $n of the {word} and his mill\" > /tmp/books/$n.md; done",
      )
      machine.succeed("aistack ingest --collection nixos_docs /tmp/books >&2")
      for _ in range(60):
          if indexed():
              break
          machine.sleep(1)

      with subtest("a backup reaches both repositories"):
          job("")
          found = {one["repository"]: one for one in backup("list")}
          t.assertEqual(set(found), {"local", "repository"})
          for name, types in {"local": ["full", "incr"], "repository": ["full"]}.items():
              held = found[name]["physical"]
              t.assertEqual([(p["type"], p["error"]) for p in held], [(kind, False) for kind in types])
              t.assertEqual({kept["part"] for kept in found[name]["kept"]}, {"index", "logical"})
          run = found["local"]["physical"][-1]["run"]
          t.assertEqual(found["repository"]["physical"][-1]["run"], run)
          tables = {table["name"]: table["rows"] for table in backup(f"show {run}")["moment"]["tables"]}
          t.assertEqual(tables["public.documents"], 30)
          t.assertIn("the hook saw: success", journal("aistack-backup"))
          t.assertIn("yes", machine.succeed("aistack backup plan"))

      with subtest("the next one holds what changed"):
          job("")
          types = [one["type"] for one in backup("list --repository repository")[0]["physical"]]
          t.assertEqual(types, ["full", "incr"])

      with subtest("what lies in the repositories is ciphertext"):
          machine.succeed(
              "runuser -u postgres -- psql -qc checkpoint",
              f"grep -rqa {word} /var/lib/postgresql",
          )
          machine.fail(f"grep -rqa {word} {folder}")
          store.fail(f"grep -rqa {word} /srv/kb/backup")
          t.assertGreater(int(store.succeed("find /srv/kb/backup -type f | wc -l")), 20)

      with subtest("a copy of the key is tried; another one is refused"):
          machine.succeed(f"install -m 400 {key_file} /root/copy")
          machine.succeed("aistack backup key-check /root/copy")
          machine.succeed("aistack backup key-generate > /root/other")
          told = machine.fail("aistack backup key-check /root/other 2>&1")
          t.assertIn("not the key", told)

      with subtest("no snapshot is left on the server"):
          url = "${settings.qdrant.url}"
          ask = f"curl -sf -H \"api-key: $(cat /var/lib/aistack-qdrant-key/key)\" {url}/collections"
          names = [one["name"] for one in json.loads(machine.succeed(ask))["result"]["collections"]]
          t.assertGreater(len(names), 0)
          for name in names:
              left = json.loads(machine.succeed(f"{ask}/{name}/snapshots"))["result"]
              t.assertEqual(left, [])

      with subtest("a drill restores it, the index too, and measures"):
          # Of the one or the other, by the week.
          job("-drill")
          report = backup("status")["last_drill"]["report"]
          checks = {check["name"]: check for check in report["checks"]}
          t.assertEqual({check["status"] for check in checks.values()}, {"ok"}, report)
          t.assertIn("points, searches as recorded", checks["index"]["detail"])
          machine.fail("test -e /var/lib/aistack-backup/drill")
          print(f"RTO {report['rto_s']} s, RPO {report['rpo_s']} s, {report['bytes']} bytes")

      with subtest("verification reads both"):
          job("-verify")

      with subtest("the metrics tell of it, after a reboot too; a missed backup is made up"):
          for name in ("postgres_backup", "qdrant_backup", "aistack_backup_verify"):
              before = metrics(aidb, tells(f"{name}_status", local=1, repository=1))
          for name in ("postgres", "qdrant"):
              t.assertGreater(before[f"{name}_backup_last_success_timestamp"], 1.7e9)
          t.assertGreater(before["aistack_backup_drill_rto_seconds"], 0)
          t.assertIn("aistack_backup_drill_rpo_seconds", before)
          t.assertGreater(before['aistack_backup_verified_timestamp{repository="local"}'], 1.7e9)
          t.assertLess(before["aistack_wal_archive_lag_seconds"], 120)
          # As if this host had been off for years.
          machine.succeed("touch -d 2020-01-01 /var/lib/systemd/timers/stamp-aistack-backup.timer")
          machine.succeed("sync")
          machine.reboot()
          up()
          machine.wait_until_succeeds(
              "systemctl show -P ExecMainExitTimestampMonotonic aistack-backup.service | grep -vx 0"
          )
          t.assertEqual(machine.get_unit_property("aistack-backup.service", "Result"), "success")
          t.assertEqual(len(backup("list --repository local")[0]["physical"]), 4)
          made = "postgres_backup_last_success_timestamp"
          after = metrics(aidb, lambda found: found.get(made, 0) > before[made])
          drilled = "aistack_backup_drill_last_success_timestamp"
          t.assertEqual(after[drilled], before[drilled])

      with subtest("the host's health knows of backups"):
          seen = json.loads(machine.succeed("aistack health --wait 30 --json"))
          states = {finding["name"]: finding["state"] for finding in seen["findings"]}
          for name in ("aistack-backup.service", "aistack-backup-drill.timer", "backup"):
              t.assertEqual(states[name], "ok", seen)

      with subtest("one at a time: a second one is refused by hand, and waits as a unit"):
          machine.succeed(
              "systemd-run --unit=other -p User=postgres flock /var/lib/aistack-backup/job.lock sleep 600"
          )
          machine.wait_until_fails("flock --nonblock /var/lib/aistack-backup/job.lock true")
          t.assertIn("is at work", machine.fail("aistack backup run 2>&1"))
          machine.succeed("systemctl stop other.service")
          machine.succeed(
              "systemd-run --unit=other -p User=postgres flock /var/lib/aistack-backup/turn sleep 600"
          )
          machine.wait_until_fails("flock --nonblock /var/lib/aistack-backup/turn true")
          machine.succeed("systemctl start --no-block aistack-backup-verify.service")
          machine.sleep(3)
          t.assertEqual(machine.get_unit_property("aistack-backup-verify", "ActiveState"), "activating")
          machine.succeed("systemctl stop other.service")
          machine.wait_until_succeeds(
              "systemctl show -P ActiveState aistack-backup-verify.service | grep -x inactive"
          )

      with subtest("a hook keeps a backup from being made"):
          machine.succeed("touch /etc/no-backup")
          job("", "exit-code")
          t.assertIn("not now", journal("aistack-backup"))
          t.assertIn("the hook saw: exit-code", journal("aistack-backup"))
          machine.succeed("rm /etc/no-backup")

      with subtest("one that was killed is no harm to the next"):
          machine.succeed("systemctl start --no-block aistack-backup.service")
          machine.wait_until_succeeds("pgrep -u postgres -f 'pgbackrest.* backup '", timeout=60)
          machine.succeed("systemctl kill --signal=KILL aistack-backup.service")
          machine.wait_until_succeeds(
              "systemctl show -P ActiveState aistack-backup.service | grep -x failed"
          )
          job("")

      with subtest("a flipped byte is found"):
          # The largest of a whole backup: every later one needs something of it.
          file = machine.succeed(
              f"find {folder}/pgbackrest/backup -type f -path '*F/bundle/*' -printf '%s %p\\n' |"
              " sort --numeric-sort | tail -n 1 | cut -d ' ' -f 2"
          ).strip()
          t.assertNotEqual(file, "")
          machine.succeed(f"cp -p {file} /root/whole")
          machine.succeed(
              "printf '\\xff\\x00\\xff\\x00' |"
              f" dd of={file} bs=1 seek=3000 conv=notrunc status=none"
          )
          job("-verify", "exit-code")
          metrics(aidb, tells("aistack_backup_verify_status", local=0, repository=1))

      with subtest("a drill that fails is a metric and an issue"):
          # More than a byte: it must be of something that the newest backup still needs.
          machine.succeed(f"head -c $(stat -c %s {file}) /dev/urandom > /root/noise && cat /root/noise > {file}")
          # This week's may be the other repository.
          runtime = "/run/systemd/system/aistack-backup-drill.service.d"
          machine.succeed(
              f"mkdir -p {runtime}",
              f"printf '[Service]\\nExecStart=\\nExecStart=%s\\n' '${drill}' > {runtime}/local.conf",
              "systemctl daemon-reload",
          )
          job("-drill", "exit-code")
          machine.succeed(f"rm -r {runtime}", "systemctl daemon-reload")
          t.assertIn("restore failed", journal("aistack-backup-drill"))
          metrics(aidb, lambda found: found.get("aistack_backup_drill_status") == 0)
          machine.wait_until_succeeds("aistack issues list | grep aistack-backup-drill")
          machine.succeed(f"cat /root/whole > {file}")
          job("-verify")

      with subtest("a repository that is gone is a failure with its name, here and in the metrics"):
          machine.succeed(f"mv {folder} {folder}.gone")
          job("", "exit-code")
          t.assertIn(folder, journal("aistack-backup"))
          metrics(aidb, tells("postgres_backup_status", local=0))
          machine.succeed(f"mv {folder}.gone {folder}")
          job("")
          metrics(aidb, tells("postgres_backup_status", local=1))
    '';
}
