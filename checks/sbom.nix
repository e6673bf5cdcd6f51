# The bills of materials of the package and of the example host can be made, are valid, and say what a
# closure says. They are not made if the schema of the format has anything against them.
{
  config,
  packages,
  pkgs,
}:
let
  inherit (packages) sbom;
  # A closure of two: the one refers to the other.
  click = "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-python3.13-click-8.3.3";
  glibc = "/nix/store/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-glibc-2.42-61";
in
pkgs.runCommand "aistack-sbom"
  {
    nativeBuildInputs = [
      pkgs.jq
      sbom.write
    ];
    known = builtins.toJSON [
      {
        path = click;
        pname = "click";
        version = "8.3.3";
        license = [ "BSD-3-Clause" ];
        python = true;
      }
    ];
    passAsFile = [ "known" ];
  }
  ''
    holds() { # DOCUMENT FILTER
      jq -e "$2" "$1" > /dev/null || { echo "$1: not so: $2" >&2; exit 1; }
    }

    mkdir closure
    printf '%s\n' ${click} ${glibc} > closure/store-paths
    printf '%s\n' ${click} sha256:0a 1 "" 1 ${glibc} ${glibc} sha256:0b 1 "" 1 ${glibc} > closure/registration
    write-sbom closure $knownPath kb 26.05 > made
    holds made '.specVersion == "1.6" and (.components | length == 2)'
    holds made 'any(.components[]; .purl == "pkg:pypi/click@8.3.3" and .licenses[0].license.id == "BSD-3-Clause")'
    holds made 'any(.components[]; .name == "glibc" and .version == "2.42-61")'
    holds made "any(.dependencies[]; .ref == \"${click}\" and .dependsOn == [\"${glibc}\"])"
    write-sbom closure $knownPath kb 26.05 | cmp made

    holds ${sbom} 'any(.components[]; .name == "aistack" and .licenses[0].license.id == "MIT")'
    holds ${sbom.ofHost config} 'any(.components[]; .name == "nixos-system-${config.networking.hostName}")'
    mkdir $out
    cp ${sbom} $out/aistack.cdx.json
    cp ${sbom.ofHost config} $out/example.cdx.json
  ''
