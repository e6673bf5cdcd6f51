# PostgreSQL, the source of truth.
{ config, lib, ... }:
let
  cfg = config.services.aistack;
  credentials = import ../lib/credentials.nix { inherit lib; };
  given = import ../lib/given.nix { inherit lib; };
  lasting = import ../lib/lasting.nix { inherit lib; };
  store = cfg.postgresql;
  at = "services.aistack.postgresql";
in
{
  options.services.aistack.postgresql = {
    createLocally = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = ''
        Whether to run PostgreSQL on this host, with a database and a role `aistack`. The services
        reach it by its socket, as the user aistack (peer authentication): there is no password.
      '';
    };

    url = lib.mkOption {
      type = lib.types.nullOr (lib.types.strMatching "postgres(ql)?://.+");
      default = null;
      example = "postgresql://aistack@db.internal/aistack?sslmode=verify-full&sslrootcert=/etc/ssl/certs/ca-bundle.crt";
      description = ''
        The database, as a libpq URI without a password, where
        {option}`services.aistack.postgresql.createLocally` is off. The role must own the database
        (or its `public` schema): the services create their tables.
      '';
    };

    passwordFile = lib.mkOption {
      type = lib.types.nullOr lib.types.externalPath;
      default = null;
      example = "/run/secrets/aistack-postgresql";
      description = "A file with the role's password, for {option}`${at}.url`; only root need read it.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = store.createLocally || store.url != null;
        message = ''
          ${at}.createLocally is off and ${at}.url is null: there is no database. Set one of them.
        '';
      }
      {
        assertion = store.createLocally -> store.url == null && store.passwordFile == null;
        message = ''
          ${at}.url (${toString store.url}) or .passwordFile is set, but ${at}.createLocally is on:
          they would not be used. Set ${at}.createLocally = false for a database elsewhere.
        '';
      }
      {
        assertion =
          store.url != null
          -> builtins.match "([a-z]+://[^/?@]*:[^/?@]*@.*)|(.*[?&](ssl)?password=.*)" store.url == null;
        message = ''
          ${at}.url contains a password, which everyone could read in the store. Take it out of the
          URL and set ${at}.passwordFile.
        '';
      }
    ];

    services.postgresql = lib.mkIf store.createLocally {
      enable = true;
      ensureDatabases = [ "aistack" ];
      ensureUsers = [
        {
          name = "aistack";
          ensureDBOwnership = true;
        }
      ];
    };

    systemd.services.postgresql = lib.mkIf store.createLocally lasting;

    services.aistack = {
      credentials = given { postgres-password = store.passwordFile; };

      settings.host.units = lib.mkIf store.createLocally [ "postgresql.service" ];
      settings.postgres = given {
        dsn = if store.url != null then store.url else "host=/run/postgresql dbname=aistack user=aistack";
        password_file = credentials.reference "postgres-password" store.passwordFile;
      };
    };
  };
}
