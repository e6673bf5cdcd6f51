# Three nodes: the database (with Redis), the index, and the services on a third host.
{ lib, pkgs, ... }:
let
  # Made here, since a check's secrets protect nothing; on the nodes they are files of root's.
  secret = name: text: "${pkgs.writeText name text}";
  postgresPassword = secret "postgres-password" "pg-0815 with spaces";
  redisPassword = secret "redis-password" "redis-0815";
  qdrantKey = secret "qdrant-key" "qdrant-0815";
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
      services.aistack = {
        enable = true;
        openFirewall = true;
        aidb.address = "0.0.0.0";
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
      };
      environment.etc = {
        "secrets/postgres".source = postgresPassword;
        "secrets/qdrant".source = qdrantKey;
        "secrets/redis".source = redisPassword;
        handbook.source = ../docs;
      };
      environment.systemPackages = [ pkgs.jq ];
    };
  };

  testScript = ''
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
  '';
}
