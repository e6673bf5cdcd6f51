# Monitoring: what is measured, what is told of it, and where it can be seen.
#
# By nixpkgs' own modules of Prometheus, its exporters, Alertmanager, Grafana, Loki and Alloy: they are
# the host's, and what a host sets there is merged with what is set here.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  own = cfg.monitoring;
  onlyHere = "file:///run/current-system/sw/share/doc/aistack/runbooks";

  taken =
    own.ports
    // {
      "services.aistack.aidb.port" = cfg.aidb.port;
    }
    // lib.optionalAttrs cfg.coordinator.enable {
      "services.aistack.coordinator.port" = cfg.coordinator.port;
    }
    // lib.optionalAttrs (cfg.embeddings.llamaCpp.model != null) {
      "services.aistack.embeddings.llamaCpp.port" = cfg.embeddings.llamaCpp.port;
    }
    // lib.optionalAttrs cfg.aidb.balanced (
      lib.listToAttrs (
        map (number: {
          name = "services.aistack.aidb.instancesPort + ${toString number}";
          value = cfg.aidb.instancesPort + number;
        }) (lib.range 0 cfg.aidb.instances)
      )
    );
  sharing = lib.filter (names: lib.length names > 1 && lib.any (name: own.ports ? ${name}) names) (
    lib.attrValues (lib.groupBy (name: toString taken.${name}) (lib.attrNames taken))
  );

  mixin =
    pkgs.runCommand "aistack-mixin"
      {
        nativeBuildInputs = [ (pkgs.python3.withPackages (python: [ python.pyyaml ])) ];
      }
      ''
        mkdir -p $out/rules $out/dashboards
        ${lib.getExe cfg.package} mixin render $out \
          --runbooks-url ${lib.escapeShellArg own.runbooksUrl} --runbooks-ending ${own.runbooksEnding}
        python3 ${./join_rules.py} $out/rules > $out/rules.json
      '';
in
{
  imports = [
    ./alertmanager.nix
    ./exporters.nix
    ./grafana.nix
    ./logs.nix
    ./probes.nix
    ./prometheus.nix
    ./scrapes.nix
    ./tracing.nix
  ];

  options.services.aistack.monitoring = {
    enable = lib.mkEnableOption ''
      monitoring: Prometheus with alerts and their runbooks, exporters of what runs here, Alertmanager,
      which makes issues of alerts, and Grafana with dashboards. All of it listens on loopback'';

    runbooksUrl = lib.mkOption {
      type = lib.types.strMatching "[a-z]+://.+";
      default = onlyHere;
      example = "https://wiki.example.org/aistack/runbooks";
      description = ''
        Where alerts and dashboards say that runbooks are, without a slash at its end. By default that
        is the documentation on this host.
      '';
    };

    runbooksEnding = lib.mkOption {
      type = lib.types.enum [
        ".html"
        ".md"
      ];
      default = if lib.hasPrefix "file:" own.runbooksUrl then ".md" else ".html";
      defaultText = lib.literalMD "`.md` for a `file:` URL, else `.html`";
      description = ''
        What the pages there end with: `.html` where it is the site (`nix build .#docs`), `.md` where
        a Git forge shows the sources.
      '';
    };

    mixin = lib.mkOption {
      type = lib.types.package;
      default = mixin;
      defaultText = lib.literalMD "what {command}`aistack mixin render` writes";
      readOnly = true;
      internal = true;
      description = "Rules and dashboards: `rules.json`, and the folders `rules` and `dashboards`.";
    };

    ports = lib.mkOption {
      type = lib.types.attrsOf lib.types.port;
      default = { };
      internal = true;
      description = "Ports that monitoring listens on, by the options that set them.";
    };
  };

  config = lib.mkIf (cfg.enable && own.enable) {
    assertions = map (names: {
      assertion = false;
      message = ''
        ${lib.concatStringsSep " and " names} are all ${toString taken.${lib.head names}}: give each a
        port of its own.
      '';
    }) sharing;

    systemd.slices.aistack-monitoring.description = "Monitoring of the aistack services";

    environment = lib.mkIf (own.runbooksUrl == onlyHere) {
      systemPackages = [
        (pkgs.runCommand "aistack-runbooks" { } ''
          mkdir -p $out/share/doc
          ln -s ${../../docs} $out/share/doc/aistack
        '')
      ];
      pathsToLink = [ "/share/doc/aistack" ];
    };
  };
}
