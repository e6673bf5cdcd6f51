# Nix, Python and shell in their one format.
{ lib, pkgs }:
let
  source = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.intersection (lib.fileset.fileFilter (
      file:
      file.hasExt "nix"
      || file.hasExt "py"
      || file.hasExt "sh"
      || lib.elem file.name [
        "pyproject.toml"
        "ruff.toml"
      ]
    ) ../.) (lib.fileset.gitTracked ../.);
  };
in
pkgs.runCommand "aistack-formatting"
  {
    nativeBuildInputs = [
      pkgs.nixfmt
      pkgs.ruff
      pkgs.shellcheck
    ];
  }
  ''
    cd ${source}
    find . -name '*.nix' -print0 | xargs -0 nixfmt --check
    ruff format --no-cache --check .
    find . -name '*.sh' -print0 | xargs -0 shellcheck
    touch $out
  ''
