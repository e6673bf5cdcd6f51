# Stores and the model, here and elsewhere: what does not fit together is named.
{
  lib,
  self,
  complains,
  enabled,
  evaluate,
  pkgs,
  with',
  ...
}:
let
  stores = [
    "postgresql"
    "qdrant"
    "redis-aistack"
  ];
in
{
  # By default systemd gives up after five tries.
  testStoresAreStartedAgainForEver = {
    expr = map (
      name:
      let
        unit = enabled.systemd.services.${name};
      in
      lib.elem unit.serviceConfig.Restart [
        "always"
        "on-failure"
      ]
      && toString unit.unitConfig.StartLimitIntervalSec == "0"
    ) stores;
    expected = map (_: true) stores;
  };
  testStoresAreGivenUpWhereTheHostSaysSo = {
    expr =
      (evaluate [
        self.nixosModules.default
        {
          services.aistack.enable = true;
          systemd.services.qdrant.unitConfig.StartLimitIntervalSec = lib.mkForce 60;
        }
      ]).systemd.services.qdrant.unitConfig.StartLimitIntervalSec;
    expected = 60;
  };
  testTwoServicesOnOnePort = complains "services.aistack.coordinator.port" {
    coordinator.port = 8091;
  };
  testNoDatabase = complains "services.aistack.postgresql.url" { postgresql.createLocally = false; };
  testTwoDatabases = complains "services.aistack.postgresql.url" {
    postgresql.url = "postgresql://db/x";
  };
  testPasswordInUrl = complains "services.aistack.postgresql.url" {
    postgresql = {
      createLocally = false;
      url = "postgresql://aistack:secret@db/aistack";
    };
  };
  testPasswordInQuery = complains "services.aistack.postgresql.url" {
    postgresql = {
      createLocally = false;
      url = "postgresql://aistack@db/aistack?password=secret";
    };
  };
  testUpgradeToWhatIsNotNewer = complains "services.aistack.postgresql.upgradeFrom" {
    # stateVersion's own.
    postgresql.upgradeFrom = pkgs.postgresql_17;
  };
  testUpgradeFromWhatIsOlder = {
    expr =
      (with' { postgresql.upgradeFrom = pkgs.postgresql_16; })
      .services.aistack.settings.postgres_upgrade.from_data_dir;
    expected = "/var/lib/postgresql/16";
  };
  testNoEmptyDatabaseBesideAnother = {
    expr =
      let
        unit = enabled.systemd.services.postgresql;
        guard = "aistack-postgresql-major.service";
      in
      lib.elem guard unit.requires && lib.elem guard unit.after;
    expected = true;
  };
  testNoIndex = complains "services.aistack.qdrant.url" { qdrant.createLocally = false; };
  testTwoIndexes = complains "services.aistack.qdrant.url" { qdrant.url = "https://qdrant.test"; };
  testTwoRedis = complains "services.aistack.redis.url" { redis.url = "redis://redis.test"; };
  testRedisPasswordForNothing = complains "services.aistack.redis.passwordFile" {
    redis = {
      createLocally = false;
      passwordFile = "/run/secrets/redis";
    };
  };
  testRedisPasswordInUrl = complains "services.aistack.redis.url" {
    redis = {
      createLocally = false;
      url = "redis://:secret@redis.test";
    };
  };
  testEmbeddingsWithoutModel = complains "services.aistack.embeddings.endpoint" {
    embeddings.endpoint = "http://localhost:11434/v1";
  };
  testEmbeddingsKeyForNothing = complains "services.aistack.embeddings.apiKeyFile" {
    embeddings.apiKeyFile = "/run/secrets/key";
  };
}
