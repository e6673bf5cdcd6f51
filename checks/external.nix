# Four nodes: the database (with Redis), the index, and the services on two hosts, of which one sends
# requests to both.
{ lib, pkgs, ... }:
let
  # Made here, since a check's secrets protect nothing; on the nodes they are files of root's.
  secret = name: text: "${pkgs.writeText name text}";
  postgresPassword = secret "postgres-password" "pg-0815 with spaces";
  redisPassword = secret "redis-password" "redis-0815";
  qdrantKey = secret "qdrant-key" "qdrant-0815";

  # What both hosts of the services have.
  service = {
    services.aistack = {
      enable = true;
      postgresql = {
        createLocally = false;
        url = "postgresql://aistack@database/aistack";
        passwordFile = "/etc/secrets/postgres";
      };
      qdrant = {
        createLocally = false;
        url = "http://index:6333";
        apiKeyFile = "/etc/secrets/qdrant";
      };
      redis = {
        createLocally = false;
        url = "redis://database:6379/0";
        passwordFile = "/etc/secrets/redis";
      };
      # The load is one client with one key.
      settings.rate_limits.enabled = false;
    };
    environment.etc = {
      "secrets/postgres".source = postgresPassword;
      "secrets/qdrant".source = qdrantKey;
      "secrets/redis".source = redisPassword;
    };
  };
  python = pkgs.python3.withPackages (ps: [ ps.httpx ]);
in
{
  name = "aistack-external";

  nodes = {
    database =
      { config, ... }:
      {
        services.postgresql = {
          enable = true;
          enableTCPIP = true;
          ensureDatabases = [ "aistack" ];
          ensureUsers = [
            {
              name = "aistack";
              ensureDBOwnership = true;
            }
          ];
          settings.password_encryption = "scram-sha-256";
          authentication = ''
            host aistack aistack 192.168.1.0/24  scram-sha-256
            host aistack aistack 2001:db8:1::/64 scram-sha-256
          '';
        };
        systemd.services.postgresql-setup.postStart = ''
          printf "alter role aistack password '%s'" "$(< ${postgresPassword})" |
            ${lib.getExe' config.services.postgresql.finalPackage "psql"} --quiet --dbname postgres
        '';
        services.redis.servers."" = {
          enable = true;
          bind = null;
          requirePassFile = redisPassword;
        };
        networking.firewall.allowedTCPPorts = [
          5432
          6379
        ];
      };

    index = {
      services.qdrant = {
        enable = true;
        settings.service.host = "0.0.0.0";
      };
      systemd.services.qdrant.serviceConfig.EnvironmentFile =
        pkgs.writeText "qdrant.env" "QDRANT__SERVICE__API_KEY=qdrant-0815";
      networking.firewall.allowedTCPPorts = [ 6333 ];
    };

    app = {
      imports = [ service ];
      services.aistack = {
        openFirewall = true;
        aidb = {
          address = "0.0.0.0";
          allowedHosts = [ "front" ];
          drainSeconds = 5;
        };
      };
      environment.etc.handbook.source = ../docs;
      environment.systemPackages = [ pkgs.jq ];
    };

    front =
      { nodes, ... }:
      {
        imports = [ service ];
        services.aistack = {
          openFirewall = true;
          aidb = {
            address = "0.0.0.0";
            allowedHosts = [ "front" ];
            hosts = [ "${nodes.app.networking.primaryIPAddress}:8091" ];
          };
        };
      };
  };

  testScript =
    { nodes, ... }:
    ''
      import json

      with subtest("the services wait for a database that comes up later"):
          app.start()
          index.start()
          app.wait_until_succeeds("journalctl -u aistack-migrate.service | grep 'the database does not answer'")
          database.start()
          database.wait_for_unit("postgresql.target")
          database.wait_for_open_port(6379)
          index.wait_for_open_port(6333)
          app.wait_until_succeeds("systemctl is-active aistack-aidb.service", timeout=120)

      with subtest("nothing of it runs on the services' own host"):
          for unit in ("postgresql", "qdrant", "redis-aistack"):
              app.fail(f"systemctl cat {unit}.service")

      with subtest("what is imported is found, and asked from another host"):
          app.succeed("aistack ingest --collection nixos_docs /etc/handbook/ >&2")
          key = app.succeed("cat /var/lib/aistack-secrets/admin-key").strip()
          body = json.dumps({"query": "rebuild the index", "collection": "nixos_docs"})
          ask = f"curl -sSf -H 'Authorization: Bearer {key}' --json '{body}' http://app:8091/v1/query"
          hits = json.loads(database.succeed(ask))["hits"]
          t.assertEqual(hits[0]["title"], "Rebuild the index")

      with subtest("all three are used"):
          database.succeed("runuser -u postgres -- psql -d aistack -tAc 'select count(*) from documents' | grep -v '^0'")
          index.succeed("curl -sf -H 'api-key: qdrant-0815' http://localhost:6333/collections | grep aistack")
          app.succeed("aistack config check")

      with subtest("the index goes away and comes back: documents stay, then search answers again"):
          index.crash()
          database.wait_until_succeeds(f"{ask} --no-fail -o /dev/null -w '%{{http_code}}' | grep 503")
          database.succeed(f"curl -sSf -H 'Authorization: Bearer {key}' http://app:8091/v1/collections")
          index.start()
          index.wait_for_open_port(6333)
          database.wait_until_succeeds(ask, timeout=60)

      with subtest("the database restarts: the services recover by themselves"):
          database.succeed("systemctl restart postgresql.service")
          database.wait_for_unit("postgresql.target")
          database.wait_until_succeeds(ask, timeout=60)

      with subtest("one host sends requests to both, and either restarts without a failed one"):
          front.wait_until_succeeds("systemctl is-active aistack-aidb-1.service", timeout=120)
          metrics = "curl -sf 'http://127.0.0.1:8100/metrics?scope=server'"
          in_use = "grep -F 'server_status{proxy=\"aidb\",server=\"%s\",state=\"UP\"} 1'"
          other = "${nodes.app.networking.primaryIPAddress}:8091"
          for server in ("aidb-1", other):
              front.wait_until_succeeds(f"{metrics} | {in_use % server}", timeout=30)
          front.succeed(f"umask 077 && printf %s {key} > /root/key")
          front.succeed(
              "systemd-run --collect --unit=load --property=StandardOutput=truncate:/tmp/load.json "
              "${lib.getExe' python "python3"} ${./lib/load.py} http://front:8091 /root/key"
          )
          app.sleep(2)
          app.succeed("systemctl restart aistack-aidb.service")
          front.wait_until_succeeds(f"{metrics} | {in_use % other}", timeout=30)
          front.succeed("systemctl reload aistack-aidb-instances.service")
          app.sleep(2)
          front.succeed("systemctl stop load.service")
          told = json.loads(front.succeed("cat /tmp/load.json"))
          print(told)
          t.assertEqual(told["failures"], [])
          t.assertGreater(min(told["counts"].values()), 10)
          # Both were asked.
          for node in (app, front):
              node.succeed("journalctl -u 'aistack-aidb*' | grep '/v1/query'")
    '';
}
