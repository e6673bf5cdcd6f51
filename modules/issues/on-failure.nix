# OnFailure= of every unit of ours, those of other modules and of later ones too.
{ config, lib, ... }:
let
  cfg = config.services.aistack;
  enabled = cfg.enable && cfg.issues.enable;
in
{
  options.systemd.services = lib.mkOption {
    type = lib.types.attrsOf (
      lib.types.submodule (
        { name, ... }:
        {
          # Never the handler's own: its failure would start it again, for ever.
          config.onFailure = lib.mkIf (
            enabled
            && !lib.hasPrefix "aistack-issue@" name
            && (lib.hasPrefix "aistack-" name || lib.elem name cfg.issues.units)
          ) [ "aistack-issue@%n.service" ];
        }
      )
    );
  };
}
