# A host goes to a newer generation, and back, while it is asked all the time. The newer one has
# another schema; the one after it takes away what the first would need.
{ lib, pkgs, ... }:
let
  domain = "kb.test";
  keyFile = "/var/lib/aistack-secrets/admin-key";
  load = import ./lib/load.nix { inherit lib pkgs; };

  # The package with more migrations, which it has for this check alone.
  later =
    migrations:
    (pkgs.callPackage ../pkgs/aistack-py/package.nix { }).overrideAttrs (old: {
      postPatch =
        old.postPatch or ""
        + lib.concatMapStrings (
          { name, sql, ... }@migration:
          ''
            cd src/aistack/migrations
            cp ${pkgs.writeText name sql} ${name}
            cat >> chain.toml <<EOF
            [[migration]]
            file = "${name}"
            sha256 = "$(sha256sum ${name} | cut -d ' ' -f 1)"
            release = "9.9.9"
            ${migration.phase}
            EOF
            cd -
          ''
        ) migrations;
    });

  expand = {
    name = "0998_expand.sql";
    phase = ''phase = "expand"'';
    sql = ''
      alter table documents
          add column language text not null default 'en',
          add column reviewed_at timestamptz;
      create table reviews (
          document_id uuid primary key references documents (id) on delete cascade,
          verdict     text not null
      );
      insert into reviews select id, 'old' from documents;
    '';
  };
  contract = {
    name = "0999_contract.sql";
    # Of no column that code uses: what counts is what is said of it.
    phase = ''
      phase = "contract"
      oldest = 998'';
    sql = "alter table documents drop column reviewed_at;";
  };
in
{
  name = "aistack-upgrade";

  nodes.machine = {
    services.aistack = {
      enable = true;
      aidb = {
        instances = 2;
        # The least that is allowed.
        drainSeconds = 3;
      };
      nginx = {
        enable = true;
        inherit domain;
      };
      backups.enable = true;
      # The load is one client with one key.
      settings.rate_limits.enabled = false;
    };
    # It would look in the midst of a switch, and tell of the coordinator that restarts.
    systemd.timers.aistack-health.wantedBy = lib.mkForce [ ];
    networking.hosts."127.0.0.1" = [ domain ];
    environment.systemPackages = [ pkgs.curl ];

    specialisation = {
      newer.configuration.services.aistack.package = lib.mkForce (later [ expand ]);
      newest.configuration.services.aistack.package = lib.mkForce (later [
        expand
        contract
      ]);
    };
  };

  testScript =
    { nodes, ... }:
    load.functions {
      base = "https://${domain}";
      inherit keyFile;
    }
    + ''
      system = "${nodes.machine.system.build.toplevel}"
      base = "https://${domain}"
      key_file = "${keyFile}"


      def switch(to):
          return machine.execute(f"{system}/{to}/bin/switch-to-configuration test 2>&1")


      def sql(text):
          return machine.succeed(f"runuser -u postgres -- psql -d aistack -tAc \"{text}\"").strip()


      def migrated():
          """What each run of the migration applied, oldest first."""
          return sql("select detail->'applied' from job_runs where job = 'migrate' order by id").split()


      def all_there():
          """Everything that was acknowledged is there and found, soon after it was written."""
          machine.succeed("cat > /tmp/paths << EOF\n" + "\n".join(Load.acknowledged) + "\nEOF")
          look = f"${load.python} ${./lib/look.py} {base} {key_file} < /tmp/paths"
          machine.wait_until_succeeds(f"{look} | tee /tmp/missing | grep -x '\\[\\]'", timeout=300)
          print("found:", len(Load.acknowledged))


      def well():
          machine.succeed("systemctl start aistack-gc.service aistack-backup.service")
          machine.succeed("aistack health --wait 30 >&2")
          t.assertEqual(machine.succeed("systemctl --failed --quiet --plain").strip(), "")
          t.assertEqual(json.loads(machine.succeed("aistack issues list --json"))["issues"], [])


      machine.wait_for_unit("aistack-aidb-instances.service")
      machine.wait_for_unit("nginx.service")
      machine.wait_until_succeeds(f"curl -skf {base}/health/ready")
      older = int(sql("select max(number) from schema_history"))

      with subtest("to the newer generation: the schema first, then one instance after the other"):
          with Load() as load:
              code, out = switch("specialisation/newer")
              t.assertEqual(code, 0, out)
          t.assertEqual(load.failures, [])
          t.assertEqual(sql("select max(number) from schema_history"), "998")
          t.assertEqual(migrated()[-1], "1")
          # What was written on the way lacks nothing, whichever code wrote it.
          t.assertEqual(sql("select count(*) from documents where language is null"), "0")
          all_there()

      with subtest("and back: the older one runs on the newer schema, which stays"):
          with Load() as load:
              code, out = switch(".")
              t.assertEqual(code, 0, out)
          t.assertEqual(load.failures, [])
          t.assertEqual(sql("select max(number) from schema_history"), "998")
          t.assertEqual(migrated()[-1], "0")
          all_there()
          well()

      with subtest("the newest takes away what the older one needs, so the way back to that is barred"):
          code, out = switch("specialisation/newest")
          t.assertEqual(code, 0, out)
          t.assertEqual(migrated()[-1], "1")
          with Load() as load:
              code, out = switch(".")
              t.assertNotEqual(code, 0, out)
          said = machine.succeed("journalctl -u aistack-migrate -o cat --no-pager")
          t.assertIn(f"this one's ends at {older:04}: switch to the newer generation again", said)
          # Who does not start leaves the others as they are.
          t.assertEqual(load.failures, [])

      with subtest("one generation back is still one that can use it"):
          code, out = switch("specialisation/newer")
          t.assertEqual(code, 0, out)
          all_there()
    '';
}
