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
    };

    specialisation = {
      logging.configuration.services.aistack.settings.log.level = "debug";
      database.configuration.services.aistack.settings.postgres.pool_max = 5;

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
      units = ["postgresql", "qdrant", "redis-aistack", "nginx", "aistack-secrets", "aistack-migrate", "aistack-aidb"]


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

      with subtest("AIDB alone reads the log's level"):
          switch("logging")
          t.assertEqual(restarted(before), {"aistack-aidb"})
          machine.wait_for_unit("aistack-aidb.service")

      with subtest("the migration reads the database's settings too"):
          before = runs()
          switch("database")
          t.assertEqual(restarted(before), {"aistack-aidb", "aistack-migrate"})

      with subtest("the same configuration again changes nothing"):
          before = runs()
          switch("database")
          t.assertEqual(restarted(before), set())
    '';
}
