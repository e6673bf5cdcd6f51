# The documentation, with the reference of all options made from the options.
{
  lib,
  nixosOptionsDoc,
  pkgs,
  python3,
  runCommand,
}:
let
  root = toString ../..;

  evaluated = lib.evalModules {
    modules = [
      ../../modules
      # The options only: what the modules set elsewhere is not looked at.
      { _module.check = false; }
    ];
    specialArgs = { inherit pkgs; };
  };

  reference = nixosOptionsDoc {
    options = { inherit (evaluated.options) services; };
    # A missing description fails this build.
    warningsAreErrors = true;
    transformOptions =
      option:
      option
      // {
        declarations = map (file: lib.removePrefix "${root}/" (toString file)) option.declarations;
      };
  };
in
runCommand "aistack-docs" { nativeBuildInputs = [ python3 ]; } ''
  cp -r ${../../docs} $out
  chmod -R u+w $out
  python3 ${./render_options.py} ${reference.optionsJSON}/share/doc/nixos/options.json \
    > $out/reference/options.md
''
