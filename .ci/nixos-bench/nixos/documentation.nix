# nixos/modules/misc/documentation.nix has this option; its manual is not built on the bench.
{ lib, ... }:
{
  options.documentation.nixos.options.warningsAreErrors = lib.mkOption {
    type = lib.types.bool;
    default = true;
    description = "Treat warning emitted during the option documentation build as errors.";
  };
}
