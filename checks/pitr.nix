# A mistake of a known second: back to just before it, also under load; a way back that fails leaves
# everything as it was; and one table's rows without touching the rest.
_: {
  name = "aistack-pitr";

  nodes.machine =
    { pkgs, ... }:
    {
      services.aistack = {
        enable = true;
        backups.enable = true;
        settings.rate_limits.per_minute = 6000;
      };
      environment.systemPackages = [ pkgs.curl ];
    };

  testScript =
    { nodes, ... }:
    ''
      import json
      import shlex

      aidb = "http://127.0.0.1:${toString nodes.machine.services.aistack.aidb.port}"
      authorized = "-H \"Authorization: Bearer $(cat /var/lib/aistack-secrets/admin-key)\""


      def sql(text):
          query = shlex.quote(text)
          return machine.succeed(f"runuser -u postgres -- psql -d aistack -qtAc {query}").strip()


      def titles(question):
          query = json.dumps({"query": question, "collection": "nixos_docs"})
          out = machine.succeed(f"curl -sf {authorized} {aidb}/v1/query --json '{query}'")
          return [hit["title"] for hit in json.loads(out)["hits"]]


      def found(question, title):
          for _ in range(60):
              if title in titles(question):
                  return
              machine.sleep(1)
          raise Exception(f"{title} is not found")


      def store(name, text):
          machine.succeed(f"printf '# {name}\\n\\n{text}' > '/tmp/{name}.md'")
          machine.succeed(f"aistack ingest --collection nixos_docs '/tmp/{name}.md' >&2")


      def up():
          machine.wait_for_unit("aistack-aidb.service")
          machine.wait_until_succeeds(f"curl -sf {aidb}/health/ready")


      def safe():
          """All that was written is in the repository."""
          segment = sql("select pg_walfile_name(pg_switch_wal())")
          for _ in range(60):
              if sql(f"select last_archived_wal >= '{segment}' from pg_stat_archiver") == "t":
                  return
              machine.sleep(1)
          raise Exception("the WAL is not archived")


      machine.wait_for_unit("aistack-aidb.service")
      store("Before", "Written before the backup: aardvark.")
      found("aardvark", "Before")
      machine.succeed("systemctl start aistack-backup.service")

      # Somebody writes all the time.
      sql("create table load (at timestamptz not null)")
      machine.succeed(
          "systemd-run --unit=load -p User=postgres --setenv=PATH bash -c"
          " 'while :; do psql -d aistack -qc \"insert into load select clock_timestamp()"
          " from generate_series(1, 100)\"; sleep 0.2; done'"
      )
      store("Right", "The right thing: buffalo.")
      found("buffalo", "Right")
      machine.sleep(2)
      moment = sql("select to_char(now() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")
      machine.sleep(2)
      store("Wrong", "The mistake: cormorant.")
      sql("delete from documents where title = 'Right'")
      found("cormorant", "Wrong")
      safe()

      with subtest("a database in use is not replaced unasked"):
          said = machine.fail(f"aistack restore --in-place --to-time {moment} 2>&1")
          t.assertIn("--yes", said)
          t.assertIn("Wrong", titles("cormorant"))

      with subtest("one table's rows, without touching the rest"):
          machine.succeed(
              f"aistack restore --only table:documents --to-time {moment} --into /var/tmp/rescue >&2"
          )
          rows = machine.succeed("cat /var/tmp/rescue/documents.sql")
          t.assertIn("Right", rows)
          t.assertNotIn("Wrong", rows)
          t.assertEqual(sql("select count(*) from documents where title = 'Right'"), "0")

      with subtest("a way back that fails leaves everything as it was"):
          before = sql("select count(*) from documents")
          said = machine.fail(
              "aistack restore --in-place --yes --to-time 2038-01-01T00:00:00Z 2>&1"
          )
          t.assertIn("the database is the old one again", said)
          up()
          t.assertEqual(sql("select count(*) from documents"), before)
          found("cormorant", "Wrong")

      with subtest("back to the second before the mistake"):
          began = sql("select now()")
          told = json.loads(
              machine.succeed(f"aistack restore --in-place --yes --to-time {moment} --json")
          )
          print(f"in place in {told['seconds']} s; index: {told['index']}")
          up()
          t.assertEqual(sql("select count(*) from documents where title = 'Right'"), "1")
          t.assertEqual(sql("select count(*) from documents where title = 'Wrong'"), "0")
          # The writer went on as soon as it could.
          t.assertGreater(int(sql(f"select count(*) from load where at < '{moment}'")), 0)
          lost = f"select count(*) from load where at > '{moment}' and at < '{began}'"
          t.assertEqual(sql(lost), "0")

      with subtest("while a restore is under way, or was killed, nothing starts the server"):
          under_way = "${nodes.machine.services.postgresql.dataDir}.restoring"
          machine.succeed(
              f"echo $(dirname {under_way})/17.before-now > {under_way}",
              "systemctl stop aistack.target postgresql.target postgresql.service",
          )
          machine.fail("systemctl start aistack-migrate.service")
          machine.fail("systemctl is-active postgresql.service")
          said = machine.succeed("journalctl -u aistack-postgresql-major -o cat --no-pager")
          t.assertIn("17.before-now", said)
          t.assertIn(f"To start what is there: rm {under_way}", said)
          machine.succeed(f"rm {under_way}", "systemctl start aistack.target")
          up()

      with subtest("search answers with what is there, and nothing else"):
          found("aardvark", "Before")
          found("buffalo", "Right")
          t.assertNotIn("Wrong", titles("cormorant"))

      with subtest("the old one is kept aside; the new one is backed up"):
          machine.succeed("ls -d /var/lib/postgresql/*.before-*")
          machine.succeed("systemctl start aistack-backup.service")
          machine.succeed("aistack backup verify >&2")
    '';
}
