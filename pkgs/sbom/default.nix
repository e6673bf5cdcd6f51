# What the package, or a whole host, is made of: a CycloneDX document of the closure, made by Nix alone.
#
#   aistack.packages.x86_64-linux.sbom                     # of the package
#   aistack.packages.x86_64-linux.sbom.ofHost config       # of a host
{
  lib,
  aistack,
  closureInfo,
  pkgs,
  python3,
  runCommand,
  writeShellScriptBin,
}:
let
  python = python3.withPackages (
    ps: [ ps.cyclonedx-python-lib ] ++ ps.cyclonedx-python-lib.optional-dependencies.json-validation
  );

  write = writeShellScriptBin "write-sbom" ''
    exec ${lib.getExe' python "python3"} ${./write_sbom.py} "$@"
  '';

  licenses =
    meta:
    map (license: license.spdxId or license.fullName or license.shortName or "unknown") (
      lib.toList (meta.license or [ ])
    );

  # What Nix knows of a package, for each of its outputs. The paths are names here, not references:
  # nothing is built for being described.
  describe =
    python: package:
    map (output: {
      inherit python;
      path = builtins.unsafeDiscardStringContext "${package.${output}}";
      pname = package.pname or null;
      version = package.version or null;
      license = licenses (package.meta or { });
      description = package.meta.description or null;
      homepage = lib.head (lib.toList (package.meta.homepage or null) ++ [ null ]);
      cpe = package.meta.identifiers.cpe or null;
    }) (package.outputs or [ "out" ]);

  document =
    {
      name,
      version,
      roots,
      package,
      others,
    }:
    runCommand "${name}.cdx.json"
      {
        nativeBuildInputs = [ write ];
        closure = closureInfo { rootPaths = roots; };
        known = builtins.toJSON (
          lib.concatMap (describe false) ([ package ] ++ others)
          ++ lib.concatMap (describe true) (modulesOf package)
        );
        passAsFile = [ "known" ];
      }
      ''
        write-sbom $closure $knownPath ${lib.escapeShellArg name} ${lib.escapeShellArg version} > $out
      '';

  modulesOf =
    package:
    lib.concatMap (needed: [ needed ] ++ needed.requiredPythonModules or [ ]) package.dependencies;
in
document {
  name = "aistack";
  inherit (aistack) version;
  roots = [ aistack ];
  package = aistack;
  others = [ python3 ];
}
// {
  inherit write;

  ofHost =
    config:
    let
      inherit (config) services;
      ours = services.aistack;
    in
    document {
      name = config.networking.hostName;
      version = config.system.nixos.version;
      roots = [ config.system.build.toplevel ];
      inherit (ours) package;
      others = config.environment.systemPackages ++ [
        config.boot.kernelPackages.kernel
        config.systemd.package
        ours.aidb.balancerPackage
        ours.backups.pgbackrestPackage
        ours.backups.resticPackage
        ours.tls.certbot.package
        pkgs.bash
        pkgs.openssl
        pkgs.glibc
        python3
        services.alloy.package
        services.grafana.package
        services.loki.package
        services.nginx.package
        services.openssh.package
        services.postgresql.finalPackage
        services.prometheus.alertmanager.package
        services.prometheus.package
        services.qdrant.package
        services.redis.package
      ];
    };
}
