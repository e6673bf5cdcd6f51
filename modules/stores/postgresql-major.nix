# PostgreSQL's major version: no empty database beside the one of before, and the way from one to
# the next. Each has a data folder of its own, named by the version.
{ config, lib, ... }:
let
  cfg = config.services.aistack;
  hardening = import ../lib/hardening.nix { inherit lib; };
  store = cfg.postgresql;
  database = config.services.postgresql;
  at = "services.aistack.postgresql";

  folder = dirOf database.dataDir;
  new = database.package.psqlSchema;
  old = store.upgradeFrom.psqlSchema;
  # As NixOS makes services.postgresql.finalPackage: with the same extensions.
  whole =
    package:
    let
      base = if database.enableJIT then package.withJIT else package.withoutJIT;
    in
    if database.extensions == [ ] then base else base.withPackages database.extensions;
in
{
  options.services.aistack.postgresql.upgradeFrom = lib.mkOption {
    type = lib.types.nullOr lib.types.package;
    default = null;
    example = lib.literalExpression "pkgs.postgresql_17";
    description = ''
      The PostgreSQL that made this host's database, where {option}`services.postgresql.package` is
      now a newer major version. After the switch, {command}`aistack postgres upgrade` carries the
      database over; until then PostgreSQL does not start. `null` again when that is done.
    '';
  };

  config = lib.mkIf (cfg.enable && store.createLocally) {
    assertions = lib.optionals (store.upgradeFrom != null) [
      {
        assertion = lib.versionOlder old new;
        message = ''
          ${at}.upgradeFrom is PostgreSQL ${old}, and services.postgresql.package is ${new}, which is
          not newer: set the one to the PostgreSQL that made the database, the other to the one that
          it is to have; or ${at}.upgradeFrom = null.
        '';
      }
      {
        assertion = baseNameOf database.dataDir == new;
        message = ''
          ${at}.upgradeFrom is set, and services.postgresql.dataDir (${database.dataDir}) has no
          folder for each version: name it by the version, as in ${folder}/${new}, or leave it out.
        '';
      }
    ];

    services.aistack.settings.postgres_upgrade = {
      programs = "${database.finalPackage}/bin";
      data_dir = database.dataDir;
      # The users first, the server last.
      units = [
        "aistack.target"
        "postgresql.service"
      ];
    }
    // lib.optionalAttrs (store.upgradeFrom != null) {
      from_programs = "${whole store.upgradeFrom}/bin";
      from_data_dir = "${folder}/${old}";
    }
    // lib.optionalAttrs (database.settings.shared_preload_libraries != null) {
      preload = database.settings.shared_preload_libraries;
    };

    # A unit of its own: one that fails at its start is started again at once by its own target,
    # without an end. What waits for another unit waits.
    systemd.services.postgresql = {
      requires = [ "aistack-postgresql-major.service" ];
      after = [ "aistack-postgresql-major.service" ];
    };

    # PostgreSQL makes a cluster where there is none.
    systemd.services.aistack-postgresql-major = {
      description = "aistack guard against an empty PostgreSQL beside another version's";
      unitConfig = {
        RequiresMountsFor = database.dataDir;
        # It runs at each of PostgreSQL's starts, which have no limit either.
        StartLimitIntervalSec = 0;
      };
      enableStrictShellChecks = true;
      script = ''
        if [[ -e ${database.dataDir}.restoring ]]; then
          echo "a restore is under way, or was not finished: run aistack restore --in-place again." \
            "The database as it was before is in $(< ${database.dataDir}.restoring)." \
            "To start what is there: rm ${database.dataDir}.restoring" >&2
          exit 1
        fi
        [[ ! -e ${database.dataDir}/PG_VERSION ]] || exit 0
        for beside in ${folder}/*.upgrading ${folder}/*/PG_VERSION; do
          [[ -e $beside ]] || continue
          beside=''${beside%/PG_VERSION}
          case ''${beside##*/} in
            *.upgrading)
              echo "an upgrade of PostgreSQL was not finished ($beside): switch to the newer version" \
                "and run it again: aistack postgres upgrade" >&2
              exit 1
              ;;
            *[!0-9]*) ;; # put away by an upgrade or a restore
            *)
              echo "there is no database of PostgreSQL ${new}, but one of ''${beside##*/} in $beside:" \
                "no empty one is made beside it. To carry it over, set ${at}.upgradeFrom =" \
                "pkgs.postgresql_''${beside##*/}, switch, and run: aistack postgres upgrade." \
                "To go on with it as it is, set services.postgresql.package to that version." \
                "If it is not wanted: mv $beside $beside.old" >&2
              exit 1
              ;;
          esac
        done
      '';
      serviceConfig = hardening.sandbox [ hardening.relax.shared ] // {
        Type = "oneshot";
        Slice = "aistack.slice";
        User = "postgres";
        Group = "postgres";
      };
    };
  };
}
