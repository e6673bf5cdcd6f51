# A changed setting restarts what reads it and nothing else; a broken one stops nothing.
{ lib, pkgs, ... }:
{
  name = "aistack-switch";

  nodes.machine = {
    services.aistack = {
      enable = true;
      nginx = {
        enable = true;
        domain = "kb.test";
      };
      # PostgreSQL calls aistack for them, and is not restarted with it.
      backups.enable = true;
    };

    specialisation = {
      stopping.configuration.services.aistack.settings.coordinator.shutdown_s = 7;
      logging.configuration.services.aistack.settings.log.level = "debug";
      database.configuration.services.aistack.settings.postgres.pool_max = 5;
      collecting.configuration.services.aistack = {
        gc.maxAgeDays = 90;
        # As in the one before, so that nothing else differs.
        settings.postgres.pool_max = 5;
      };

      upgrade.configuration.services.aistack.package = lib.mkForce (
        (pkgs.callPackage ../pkgs/aistack-py/package.nix { }).overrideAttrs { RELEASE = "next"; }
      );

      # What the build would have refused, forced past it: the switch must refuse it too.
      broken.configuration.environment.etc."aistack/config.toml".source = lib.mkForce (
        pkgs.writeText "broken.toml" ''
          [aidb]
          prot = 8091
        ''
      );
    };
  };

  testScript =
    { nodes, ... }:
    ''
      system = "${nodes.machine.system.build.toplevel}"
      stores = ["postgresql", "qdrant", "redis-aistack", "nginx", "aistack-qdrant-key"]
      ours = {"aistack-aidb", "aistack-coordinator"}
      units = [*stores, "aistack-secrets", "aistack-migrate", "aistack-tls", *ours]


      def runs():
          """Each unit with the id of its current run."""
          show = "systemctl show -P InvocationID"
          return {unit: machine.succeed(f"{show} {unit}.service").strip() for unit in units}


      def restarted(before):
          after = runs()
          return {unit for unit in units if after[unit] != before[unit]}


      def switch(to, base=f"{system}/specialisation"):
          return machine.succeed(f"{base}/{to}/bin/switch-to-configuration test 2>&1")


      machine.wait_for_unit("aistack-aidb.service")
      machine.wait_for_unit("nginx.service")
      before = runs()

      with subtest("a broken setting stops nothing"):
          path = f"{system}/specialisation/broken"
          code, out = machine.execute(f"{path}/bin/switch-to-configuration test 2>&1")
          t.assertNotEqual(code, 0, out)
          t.assertIn("did you mean port?", out)
          t.assertEqual(restarted(before), set())

      with subtest("a section is read by its own service alone"):
          switch("stopping")
          t.assertEqual(restarted(before), {"aistack-coordinator"})

      with subtest("the services alone read the log's level"):
          before = runs()
          switch("logging")
          t.assertEqual(restarted(before), ours)
          machine.wait_for_unit("aistack-aidb.service")

      with subtest("the migration and the certificate's ledger read the database's settings too"):
          before = runs()
          switch("database")
          t.assertEqual(restarted(before), ours | {"aistack-migrate", "aistack-tls"})
          machine.wait_for_unit("aistack-coordinator.service")

      with subtest("a rule of garbage collection restarts who shows it, and a run goes on meanwhile"):
          before = runs()
          psql = "runuser -u postgres -- psql -d aistack -qtAc"
          # What the run waits for.
          hold = "begin; lock table solutions; select pg_sleep(600)"
          machine.execute(f"{psql} '{hold}' > /dev/null 2>&1 &")
          locks = "from pg_locks where relation = 'solutions'::regclass and"
          machine.wait_until_succeeds(f"{psql} \"select mode {locks} granted\" | grep AccessExclusive")
          machine.succeed("systemctl start --no-block aistack-gc.service")
          machine.wait_until_succeeds(f"{psql} \"select mode {locks} not granted\" | grep Lock")
          run = machine.get_unit_property("aistack-gc.service", "InvocationID")
          switch("collecting")
          t.assertEqual(restarted(before), {"aistack-aidb"})
          t.assertEqual(machine.get_unit_property("aistack-gc.service", "ActiveState"), "activating")
          t.assertEqual(machine.get_unit_property("aistack-gc.service", "InvocationID"), run)
          machine.succeed(f"{psql} \"select pg_terminate_backend(pid) {locks} granted\"")
          machine.wait_until_succeeds("systemctl show -P ActiveState aistack-gc.service | grep -x inactive")
          t.assertEqual(machine.get_unit_property("aistack-gc.service", "Result"), "success")

      with subtest("the same configuration again changes nothing"):
          before = runs()
          switch("collecting")
          t.assertEqual(restarted(before), set())

      with subtest("an upgrade of the package leaves the stores and nginx alone"):
          before = runs()
          switch("upgrade")
          t.assertEqual(restarted(before), ours | {"aistack-migrate", "aistack-secrets", "aistack-tls"})
          machine.wait_for_unit("aistack-aidb.service")
    '';
}
