# The documentation as a site that needs no network: open index.html, or serve the folder.
{
  lib,
  mdbook,
  nixosOptionsDoc,
  pkgs,
  python3,
  runCommand,

  # Where the sources can be read, for links to them: https://your.forge/aistack/src/branch/main.
  # Without one, they are plain text.
  sourceUrl ? "",
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

  # `nix build .#docs.options`: the page as it is committed, by `make options`.
  options = runCommand "aistack-options.md" { nativeBuildInputs = [ python3 ]; } ''
    python3 ${./render_options.py} ${reference.optionsJSON}/share/doc/nixos/options.json > $out
  '';
in
runCommand "aistack-docs"
  {
    nativeBuildInputs = [
      mdbook
      python3
    ];
    passthru = { inherit options; };
    meta.description = "Documentation of aistack, as a site";
  }
  ''
    mkdir book
    cp ${./book.toml} book/book.toml
    cp ${./site.css} book/site.css
    cp -r --no-preserve=mode ${../../docs} docs
    cp ${options} docs/reference/options.md
    python3 ${./book.py} docs book/src ${lib.escapeShellArg sourceUrl}
    mdbook build --dest-dir $out book > build.log 2>&1 || { cat build.log; exit 1; }
    if grep -w WARN build.log; then
      echo "mdBook warns: mend the page" >&2
      exit 1
    fi
  ''
