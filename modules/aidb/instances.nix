# More than one instance of AIDB: each a unit with a port of its own, restarted one after another.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  own = cfg.aidb;
  at = "services.aistack.aidb";
  hardening = import ../lib/hardening.nix { inherit lib; };

  units = map (instance: "aistack-${instance.name}.service") own.processes;
  last = own.instancesPort + own.instances;
  taken = {
    "${at}.port" = own.port;
  }
  // lib.optionalAttrs cfg.coordinator.enable {
    "services.aistack.coordinator.port" = cfg.coordinator.port;
  }
  // lib.optionalAttrs (cfg.embeddings.llamaCpp.model != null) {
    "services.aistack.embeddings.llamaCpp.port" = cfg.embeddings.llamaCpp.port;
  };
  clashes = lib.attrNames (
    lib.filterAttrs (_: port: own.instancesPort <= port && port <= last) taken
  );
in
{
  options.services.aistack.aidb = {
    instances = lib.mkOption {
      type = lib.types.ints.between 1 32;
      default = 1;
      example = 2;
      description = ''
        Number of AIDB's instances on this host. With more than one, each is a unit
        `aistack-aidb-N.service`, and a balancer answers at {option}`${at}.port` in their place: what
        is not ready gets no requests, and a switch restarts them one after another, without a failed
        request. What they share lies in PostgreSQL, Qdrant and Redis; use
        {option}`${at}.workers` for more processor time alone.
      '';
    };

    instancesPort = lib.mkOption {
      type = lib.types.port;
      default = 8100;
      description = ''
        First of the ports on loopback that a host with a balancer needs: the balancer's own metrics
        (without a key, at `/metrics`), then one for each instance, where it has its metrics.
      '';
    };

    drainSeconds = lib.mkOption {
      type = lib.types.ints.between 0 300;
      default = if own.balanced then 5 else 0;
      defaultText = lib.literalMD "5 with a balancer on this host, else 0";
      description = ''
        How long an instance that stops answers requests, but says at `/health/ready` that it is not
        ready, so that balancers send no more. Set it to 5 on a host that another one names in
        {option}`${at}.hosts`.
      '';
    };

    balanced = lib.mkOption {
      type = lib.types.bool;
      readOnly = true;
      internal = true;
      default = own.instances > 1 || own.hosts != [ ];
      defaultText = lib.literalMD "whether there is more than one instance, here or elsewhere";
      description = "Whether a balancer is before AIDB.";
    };

    processes = lib.mkOption {
      type = lib.types.listOf lib.types.attrs;
      readOnly = true;
      internal = true;
      default =
        if own.balanced then
          map (number: {
            name = "aidb-${toString number}";
            port = own.instancesPort + number;
          }) (lib.range 1 own.instances)
        else
          [
            {
              name = "aidb";
              port = null;
            }
          ];
      defaultText = lib.literalMD "one, or the numbered instances";
      description = "The name of each instance, and its port where a balancer is before it.";
    };
  };

  config = lib.mkIf (cfg.enable && own.balanced) {
    assertions = [
      {
        assertion = clashes == [ ];
        message = ''
          ${at}.instancesPort needs the ports ${toString own.instancesPort} to ${toString last}, which
          ${lib.concatStringsSep " and " clashes} takes from: set another first port.
        '';
      }
      {
        assertion = last <= 65535;
        message = "${at}.instancesPort (${toString own.instancesPort}) leaves no ports for ${at}.instances.";
      }
      {
        # The longest time in which the balancer sees that an instance is not ready.
        assertion = own.drainSeconds >= 3;
        message = ''
          ${at}.drainSeconds is ${toString own.drainSeconds}: instances would end before the balancer
          knows, and requests fail. Set at least 3.
        '';
      }
    ];

    warnings = lib.optional (cfg.settings.rate_limits.enabled && !(cfg.settings.redis ? url)) ''
      ${at}: there is more than one instance and no Redis, so each limits clients by itself, and a
      client may ask more often than settings.rate_limits says. Set services.aistack.redis.
    '';

    services.aistack.settings.host = {
      units = [ "aistack-balancer.service" ];
      instances = lib.listToAttrs (
        map (
          instance: lib.nameValuePair instance.name "http://127.0.0.1:${toString instance.port}"
        ) own.processes
      );
    };

    systemd.services =
      lib.genAttrs (map (lib.removeSuffix ".service") units) (_: {
        partOf = [ "aistack-aidb-instances.service" ];
        # Not all at once: the unit below does it.
        restartIfChanged = false;
      })
      // {
        # A switch reloads it where one of its instances has changed, which restarts them in turn.
        aistack-aidb-instances = {
          description = "aistack instances of AIDB, restarted one after another by a reload";
          wantedBy = [ "aistack.target" ];
          partOf = [ "aistack.target" ];
          wants = units;
          after = units;
          reloadIfChanged = true;
          restartTriggers = map (unit: config.systemd.units.${unit}.unit) units;
          path = [
            config.systemd.package
            pkgs.coreutils
            pkgs.curl
          ];
          enableStrictShellChecks = true;
          reload = ''
            balancer="http://127.0.0.1:${toString own.instancesPort}/metrics?scope=server"
            instances=(${toString (map (instance: instance.name) own.processes)})
            for name in "''${instances[@]}"; do
              echo "restarting aistack-$name"
              # Until it says that it is ready; the migration of a new version comes first.
              if ! systemctl restart "aistack-$name.service"; then
                echo "aistack-$name does not start: the instances after it stay as they are" >&2
                exit 1
              fi
              # The next one goes on serving until the balancer has this one back.
              for ((second = 0; ; second++)); do
                if [[ $(curl -s --max-time 2 "$balancer") == *"server=\"$name\",state=\"UP\"} 1"* ]]; then
                  break
                fi
                if ((second == 60)); then
                  echo "the balancer does not find aistack-$name ready: the instances after it stay" \
                    "as they are. When it is: systemctl reload aistack-aidb-instances" >&2
                  exit 1
                fi
                sleep 1
              done
            done
          '';

          serviceConfig =
            hardening.sandbox [
              hardening.relax.root
              hardening.relax.loopback
            ]
            // {
              Type = "oneshot";
              RemainAfterExit = true;
              ExecStart = "${pkgs.coreutils}/bin/true";
              Slice = "aistack.slice";
            };
        };
      };
  };
}
