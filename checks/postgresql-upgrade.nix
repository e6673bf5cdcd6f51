# PostgreSQL's next major version by a switch: it does not start empty, the command of
# docs/how-to/upgrade-postgresql.md carries everything over, and backups go on.
{ lib, pkgs, ... }:
let
  from = pkgs.postgresql_16;
  to = pkgs.postgresql_17;
in
{
  name = "aistack-postgresql-upgrade";

  nodes.machine = {
    services.aistack = {
      enable = true;
      backups.enable = true;
      # Their time is not this check's.
      coordinator.enable = false;
      health.enable = false;
    };
    services.postgresql.package = from;
    environment.systemPackages = [ pkgs.curl ];

    specialisation.newer.configuration.services = {
      postgresql.package = lib.mkForce to;
      aistack.postgresql.upgradeFrom = from;
    };
  };

  testScript =
    { nodes, ... }:
    ''
      import json

      system = "${nodes.machine.system.build.toplevel}"
      aidb = "http://127.0.0.1:${toString nodes.machine.services.aistack.aidb.port}"
      authorized = "-H \"Authorization: Bearer $(cat /var/lib/aistack-secrets/admin-key)\""
      older, newer = "${from.psqlSchema}", "${to.psqlSchema}"
      old, new = f"/var/lib/postgresql/{older}", f"/var/lib/postgresql/{newer}"


      def switch(to, well=True):
          """Switch; `well`: whether PostgreSQL starts by that."""
          code, out = machine.execute(f"{system}/{to}/bin/switch-to-configuration test 2>&1")
          t.assertEqual(code == 0, well, out)


      def runs(major):
          """PostgreSQL of this version answers, and has what was written."""
          told = machine.succeed("runuser -u postgres -- psql -tAc 'show server_version_num'")
          t.assertEqual(told[:2], major)
          body = json.dumps({"query": "heliograph", "collection": "nixos_docs"})
          machine.wait_until_succeeds(
              f"curl -sf {authorized} {aidb}/v1/query --json '{body}' | grep -F Signals"
          )


      def refused(because):
          said = machine.succeed("journalctl -u aistack-postgresql-major -o cat --no-pager")
          t.assertIn(because, said)


      machine.wait_for_unit("aistack-aidb.service")
      machine.wait_until_succeeds(f"curl -sf {aidb}/health/ready")
      machine.succeed(
          "printf '# Signals\\n\\nThe heliograph of the hill.' > /tmp/signals.md",
          "aistack ingest --collection nixos_docs /tmp/signals.md >&2",
      )
      runs(older)
      machine.succeed("aistack backup run >&2")

      with subtest("a look before the switch, by the command of the system that is only built"):
          look = f"{system}/specialisation/newer/sw/bin/aistack postgres upgrade --dry-run 2>&1"
          t.assertIn("nothing is in the way", machine.succeed(look))
          runs(older)

      with subtest("the newer version does not start beside the database, and says what to do"):
          switch("specialisation/newer", well=False)
          refused(f"set services.aistack.postgresql.upgradeFrom = pkgs.postgresql_{older}")
          machine.fail(f"test -e {new}/PG_VERSION")

      with subtest("killed in the midst of the upgrade, the older one runs again after a switch back"):
          machine.succeed(
              "aistack postgres upgrade < /dev/null > /tmp/said 2>&1 &",
              "until grep 'pg_upgrade (copy)' /tmp/said; do sleep 0.1; done;"
              " pkill -9 -f '[p]ostgres upgrade'",
          )
          machine.wait_until_fails("pgrep -u postgres")
          machine.succeed(f"test -e {new}.upgrading")
          switch(".")
          runs(older)

      with subtest("the switch, and the command"):
          switch("specialisation/newer", well=False)
          machine.succeed("aistack postgres upgrade >&2")
          runs(newer)
          machine.succeed(f"test ! -e {new}.upgrading")
          machine.wait_until_succeeds("systemctl is-active aistack.target postgresql.target")

      with subtest("backups go on: a whole one was made, and can be restored"):
          (repository,) = json.loads(machine.succeed("aistack backup list --json"))
          last = repository["physical"][-1]
          t.assertEqual((last["server"], last["type"]), (newer, "full"))
          machine.succeed("aistack backup verify >&2", "aistack backup drill >&2")

      with subtest("the way back does not start empty either"):
          switch(".", well=False)
          refused(f"there is no database of PostgreSQL {older}, but one of {newer}")
          machine.fail(f"test -e {old}/PG_VERSION")

      with subtest("and goes to what was kept, where what is newer is given up"):
          kept = machine.succeed(f"echo {old}.before-*").strip()
          machine.succeed(
              "systemctl stop postgresql",
              f"mv {new} {new}.given-up",
              f"mv -T {kept} {old}",
              "systemctl start postgresql.target aistack.target",
          )
          runs(older)

      with subtest("what was kept stays until it is told to go"):
          machine.succeed(
              "systemctl stop aistack.target postgresql",
              f"mv -T {old} {kept}",
              f"mv -T {new}.given-up {new}",
          )
          switch("specialisation/newer")
          t.assertIn(f"would delete {kept}", machine.succeed("aistack postgres finish --dry-run 2>&1"))
          machine.succeed(f"test -e {kept}/PG_VERSION", "aistack postgres finish", f"test ! -e {kept}")
          runs(newer)
    '';
}
