# Garbage collection on one node: what a run takes, what it leaves, what it says, and the way back.
_:
let
  # No run of its own while this check runs, whatever the clock says; the default is eval's to check.
  schedule = "*-02-29 04:30:00";
in
{
  name = "aistack-gc";

  nodes.machine =
    { pkgs, ... }:
    {
      services.aistack = {
        enable = true;
        gc = {
          inherit schedule;
          randomizedDelay = "0";
          # Of the few solutions here a run takes one.
          maxFraction = 0.05;
        };
        # This check asks more than a person would.
        settings.rate_limits.per_minute = 600;
      };
      environment.systemPackages = [ pkgs.curl ];
    };

  testScript =
    { nodes, ... }:
    let
      inherit (nodes.machine.services.aistack) aidb coordinator;
    in
    import ./lib/metrics.nix
    + ''
      import json
      import shlex

      aidb = "http://127.0.0.1:${toString aidb.port}"
      coordinator = "http://127.0.0.1:${toString coordinator.port}"
      authorized = "-H \"Authorization: Bearer $(cat /var/lib/aistack-secrets/admin-key)\""
      lessons = {
          "old": (
              "nginx answers 502 after the switch",
              "The upstream was not up yet: order nginx after the service.",
          ),
          "older than it is bad": (
              "how do I grow an ext4 file system",
              "Enlarge the partition first, then call resize2fs on its device.",
          ),
          "pinned": (
              "borg complains about a stale lock",
              "No backup runs? Then borg break-lock removes it.",
          ),
          "fresh": (
              "the printer prints question marks only",
              "Its driver lacks the font: install ghostscript's fonts.",
          ),
      }


      def call(method, path, body=None, base=coordinator):
          data = f"--json {shlex.quote(json.dumps(body))}" if body is not None else ""
          out = machine.succeed(f"curl -sf -X {method} {data} {authorized} {base}{path}")
          return json.loads(out) if out else None


      def sql(text):
          query = shlex.quote(text)
          return machine.succeed(f"runuser -u postgres -- psql -d aistack -qtAc {query}").strip()


      def gc(arguments):
          return json.loads(machine.succeed(f"aistack gc {arguments} --json"))


      def served(name):
          """Whether context for the question has the solution, and whether search finds it."""
          question, _ = lessons[name]
          given = call("POST", "/v1/augment", {"question": question})
          wanted = {"query": question, "collection": "solved_issues"}
          found = call("POST", "/v1/query", wanted, base=aidb)
          augmented = any(source["id"] == ids[name] for source in given["sources"])
          return augmented, any(hit["path"] == f"{ids[name]}.md" for hit in found["hits"])


      def wait_until_served(name):
          """The index follows in a moment."""
          for _ in range(60):
              if served(name) == (True, True):
                  return
              machine.sleep(1)
          raise Exception(f"the solution {name} is not served")


      def age(*names):
          """Make solutions old and bad, when what was served a moment ago is written down."""
          machine.sleep(3)
          for name in names:
              sql(
                  "update solutions set created_at = now() - interval '60 days',"
                  " last_used_at = null, restored_at = null, value = 0.1"
                  f" where id = '{ids[name]}'"
              )
          # Of the old ones the least valuable goes first.
          sql(f"update solutions set value = 0.2 where value = 0.1 and id <> '{ids['old']}'")


      def collect(result="success"):
          """Let the unit run, as its timer would, and see how it ended."""
          machine.execute("systemctl start aistack-gc.service")
          t.assertEqual(machine.get_unit_property("aistack-gc.service", "Result"), result)


      def wait_until_running(wanted):
          for _ in range(30):
              if gc("status")["running"] == wanted:
                  return
          raise Exception(f"running is not {wanted}")


      def up():
          machine.wait_for_unit("aistack-aidb.service")
          machine.wait_for_unit("aistack-coordinator.service")


      machine.start(allow_reboot=True)
      up()

      with subtest("the timer waits for its time, and nothing else starts a run"):
          machine.wait_for_unit("aistack-gc.timer")
          t.assertIn(
              "OnCalendar=${schedule} ;",
              machine.get_unit_property("aistack-gc.timer", "TimersCalendar"),
          )
          t.assertEqual(machine.get_unit_property("aistack-gc.timer", "Persistent"), "yes")
          t.assertEqual(machine.get_unit_property("aistack-gc.service", "ActiveState"), "inactive")
          t.assertEqual(gc("history"), [])

      with subtest("a host that has learned nothing is none to fail on"):
          collect()
          t.assertEqual(gc("history")[0]["result"], "ok")

      ids = {}
      for name, (question, answer) in lessons.items():
          learned = call(
              "POST",
              "/v1/interactions",
              {"question": question, "response": answer, "outcome": "success", "feedback": 1.0},
          )
          ids[name] = learned["solution_id"]
      t.assertEqual(len(set(ids.values())), len(lessons))
      for name in lessons:
          wait_until_served(name)
      call("POST", f"/v1/solutions/{ids['pinned']}/pin")

      with subtest("nothing is collected where nothing is old"):
          collect()
          t.assertEqual(gc("status")["solutions"], 4)

      with subtest("a plan says what a run would take, and takes nothing"):
          age("old", "older than it is bad", "pinned")
          before = sql("select * from solutions order by id")
          plan = gc("plan")
          t.assertEqual([step["subject"] for step in plan["steps"]], [ids["old"]])
          t.assertEqual(plan["steps"][0]["reason"], "expired")
          t.assertEqual(plan["tiers"]["expired"]["held_back"], 1)
          t.assertIn(ids["old"], machine.succeed("aistack gc run --dry-run"))
          t.assertEqual(sql("select * from solutions order by id"), before)
          t.assertEqual(len(gc("history")), 2)

      with subtest("a run takes that, and it is served no more at once"):
          collect()
          t.assertEqual(served("old"), (False, False))
          url = f"{coordinator}/v1/solutions/{ids['old']}"
          code = machine.succeed(f"curl -s -o /dev/null -w '%{{http_code}}' {authorized} {url}")
          t.assertEqual(code, "404")

      with subtest("the pinned, the fresh and what is above the cap stay"):
          for name in ("older than it is bad", "pinned", "fresh"):
              call("GET", f"/v1/solutions/{ids[name]}")
              t.assertEqual(served(name), (True, True))

      with subtest("history and status tell of it"):
          newest = gc("history")[0]
          run = newest["id"]
          t.assertEqual((newest["result"], newest["deleted"]), ("ok", 1))
          (deletion,) = gc(f"history {run}")["deletions"]
          t.assertEqual((deletion["subject"], deletion["reason"]), (ids["old"], "expired"))
          t.assertIn(ids["old"], machine.succeed(f"aistack gc history {run}"))
          status = gc("status")
          t.assertEqual((status["solutions"], status["in_trash"], status["pinned"]), (3, 1, 1))
          t.assertFalse(status["running"])
          t.assertEqual(status["last_run"]["id"], run)

      with subtest("the coordinator's metrics tell of it after the unit ended"):
          found = metrics(coordinator, lambda found: found.get('hybrid_gc_runs_total{result="ok"}') == 3)
          t.assertEqual(found['hybrid_gc_solutions_deleted_total{reason="expired"}'], 1)
          t.assertEqual(found['hybrid_gc_solutions_deleted_total{reason="duplicate"}'], 0)
          t.assertEqual(found["hybrid_gc_trash_solutions"], 1)
          t.assertEqual(found["hybrid_gc_metrics_readable"], 1)
          now = float(machine.succeed("date +%s"))
          t.assertLess(abs(now - found["hybrid_gc_last_success_timestamp"]), 300)

      with subtest("after a reboot they still do, and a run that was missed is made up"):
          # As if this host had been off for years.
          machine.succeed("touch -d 2020-01-01 /var/lib/systemd/timers/stamp-aistack-gc.timer")
          machine.succeed("sync")
          machine.reboot()
          up()
          machine.wait_until_succeeds(
              "systemctl show -P ExecMainExitTimestampMonotonic aistack-gc.service | grep -vx 0"
          )
          # Without a delay it may be there before the index is.
          made_up = gc("history")[0]
          t.assertIn(made_up["result"], ("ok", "partial"))
          t.assertGreater(made_up["id"], run)
          ended = [f'hybrid_gc_runs_total{{result="{how}"}}' for how in ("ok", "partial")]
          found = metrics(coordinator, lambda found: sum(found.get(how, 0) for how in ended) == 4)
          t.assertEqual(found['hybrid_gc_solutions_deleted_total{reason="expired"}'], 1)
          partial = found[ended[1]]

      with subtest("what a run took can be brought back"):
          t.assertEqual(served("old"), (False, False))
          t.assertEqual(gc(f"undo {run}")["restored"], 1)
          wait_until_served("old")
          t.assertEqual(gc(f"undo {run}")["restored"], 0)
          metrics(coordinator, lambda found: found.get("hybrid_gc_solutions_restored_total") == 1)
          # Its age begins anew: the next run takes another, or none.
          t.assertNotIn(ids["old"], [step["subject"] for step in gc("plan")["steps"]])

      with subtest("one run at a time: the second ends well and says why"):
          # What a run on another host of the same database holds; see _LOCK of aistack.gc.collector.
          hold = "select pg_advisory_lock(0x676172626167), pg_sleep(600)"
          machine.succeed(
              f"systemd-run --unit=another-run -p User=postgres $(type -P psql) -d aistack -c {shlex.quote(hold)}"
          )
          wait_until_running(True)
          runs = len(gc("history"))
          age("old")
          t.assertIn("under way", machine.succeed("aistack gc run 2>&1"))
          collect()
          machine.succeed("journalctl --no-pager -u aistack-gc | grep 'under way'")
          t.assertEqual(len(gc("history")), runs)
          t.assertEqual(gc("status")["solutions"], 4)
          sql("select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(600)'")
          wait_until_running(False)

      with subtest("an index that is away makes the unit fail; the rest is done"):
          machine.succeed("systemctl stop qdrant.service")
          collect("exit-code")
          t.assertEqual(machine.get_unit_property("aistack-gc.service", "ExecMainStatus"), "3")
          t.assertEqual(gc("history")[0]["result"], "partial")
          t.assertEqual(gc("status")["solutions"], 3)
          machine.succeed("systemctl start qdrant.service")

      with subtest("an emptied table is refused, and the unit fails"):
          sql("delete from solutions")
          collect("exit-code")
          machine.succeed("systemctl is-failed aistack-gc.service")
          t.assertEqual(gc("history")[0]["result"], "refused")
          machine.succeed("journalctl --no-pager -u aistack-gc | grep -F -- --force")
          found = metrics(coordinator, lambda found: found.get('hybrid_gc_runs_total{result="refused"}') == 1)
          t.assertEqual(found['hybrid_gc_runs_total{result="partial"}'], partial + 1)
          t.assertEqual(found["hybrid_gc_solutions_deleted_total{reason=\"orphan\"}"], 0)
    '';
}
