# Host a dies. Host b, of the same configuration, has the backups' server, the key and the page
# docs/how-to/recover-from-disaster.md, whose commands run here as they stand there.
{ lib, ... }:
let
  backups = import ./lib/backups.nix;
  host =
    { pkgs, ... }:
    {
      services.aistack = {
        enable = true;
        backups = {
          enable = true;
          keyFile = "/root/backup-key";
          repositories = { inherit (backups) repository; };
        };
        settings.rate_limits.per_minute = 600;
      };
      environment.systemPackages = [
        pkgs.curl
        pkgs.openssh
      ];
    };
  commands = import ./lib/commands.nix { inherit lib; } ../docs/how-to/recover-from-disaster.md;
  typed = marker: builtins.toJSON (commands marker);
in
{
  name = "aistack-restore";

  nodes = {
    inherit (backups) store;
    a = host;
    b = host;
  };

  testScript =
    { nodes, ... }:
    backups.functions
    + ''
      import json
      import time

      aidb = "http://127.0.0.1:${toString nodes.b.services.aistack.aidb.port}"


      def answers(host, key, question):
          """Titles that search finds with this key."""
          query = json.dumps({"query": question, "collection": "nixos_docs"})
          ask = f"curl -sf -H 'Authorization: Bearer {key}' {aidb}/v1/query --json '{query}'"
          return [hit["title"] for hit in json.loads(host.succeed(ask))["hits"]]


      def found(host, key, question, title):
          for _ in range(60):
              if title in answers(host, key, question):
                  return
              host.sleep(1)
          raise Exception(f"{title} is not found")


      store.start()
      a.start()
      store.wait_for_open_port(22)
      a.wait_for_unit("aistack-aidb.service")
      a.succeed("(umask 077; aistack backup key-generate > /root/backup-key)")
      let_in(a, store)
      a.succeed("systemctl restart postgresql.service")
      a.wait_for_unit("aistack-aidb.service")
      a.wait_until_succeeds(f"curl -sf {aidb}/health/ready")

      with subtest("a has documents, a client's key, and a backup"):
          a.succeed(
              "mkdir /tmp/books",
              "for n in {1..50}; do"
              " printf \"# Leaf $n\\n\\nThe leaf''${n}th leaf of the book.\" > /tmp/books/$n.md; done",
          )
          a.succeed("aistack ingest --collection nixos_docs /tmp/books >&2")
          key = json.loads(a.succeed("aistack keys create client --scope write --json"))["key"]
          found(a, key, "leaf7th", "Leaf 7")
          a.succeed("systemctl start aistack-backup.service")
          # After the backup: this is in the WAL alone.
          a.succeed("printf '# Late\\n\\nThe epilogue of the book.' > /tmp/late.md")
          a.succeed("aistack ingest --collection nixos_docs /tmp/late.md >&2")
          found(a, key, "epilogue", "Late")
          psql = "runuser -u postgres -- psql -tAc"
          segment = a.succeed(f"{psql} 'select pg_walfile_name(pg_switch_wal())'").strip()
          archived = f"select last_archived_wal >= '{segment}' from pg_stat_archiver"
          a.wait_until_succeeds(f'{psql} "{archived}" | grep -x t')
          backup_key = a.succeed("cat /root/backup-key").strip()
          ssh_key = a.succeed("cat /root/store-key")

      a.crash()

      with subtest("b starts with the key, and an empty database"):
          b.start()
          b.wait_for_unit("aistack-aidb.service")
          b.succeed(
              f"(umask 077; echo '{backup_key}' > /root/backup-key; echo '{ssh_key}' > /root/store-key)",
              "ssh-keyscan store > /etc/store-hosts 2> /dev/null",
              "systemctl restart postgresql.service",
          )
          b.wait_for_unit("aistack-aidb.service")
          b.fail(f"curl -sf -H 'Authorization: Bearer {key}' {aidb}/v1/collections")

      with subtest("an empty database does not get into the other's repositories"):
          b.succeed("runuser -u postgres -- psql -qtc 'select pg_switch_wal()'")
          b.wait_until_succeeds("journalctl -u postgresql -o cat | grep 'archive command failed'")

      with subtest("the page's commands restore it"):
          for line in ${typed "look"}:
              b.succeed(line)
          start = time.monotonic()
          for line in ${typed "restore"}:
              b.succeed(line)
          found(b, key, "leaf7th", "Leaf 7")
          print(f"RTO {time.monotonic() - start:.1f} s from the first command to the first answer")

      with subtest("everything is there: documents, the client's key, what came after the backup"):
          found(b, key, "epilogue", "Late")
          count = "runuser -u postgres -- psql -d aistack -tAc 'select count(*) from documents'"
          t.assertEqual(b.succeed(count).strip(), "51")
          b.succeed("printf '# New\\n\\nA sequel.' > /tmp/new.md")
          b.succeed("aistack ingest --collection nixos_docs /tmp/new.md >&2")
          found(b, key, "sequel", "New")

      with subtest("b goes on backing up, as its timer would too"):
          for line in ${typed "after"}:
              b.succeed(line)
          b.succeed("systemctl start aistack-backup.service")
          listed = json.loads(b.succeed("aistack backup list --json"))
          t.assertEqual(len(listed[0]["physical"]), 3)
    '';
}
