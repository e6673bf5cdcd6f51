# Collections besides the six that always exist.
{ config, lib, ... }:
let
  cfg = config.services.aistack;
  name = "[a-z0-9][a-z0-9_-]{0,62}";
  wrong = lib.filter (key: builtins.match name key == null) (lib.attrNames cfg.collections);
in
{
  options.services.aistack.collections = lib.mkOption {
    type = lib.types.attrsOf (
      lib.types.submodule {
        options.description = lib.mkOption {
          type = lib.types.str;
          default = "";
          example = "The team's runbooks";
          description = "What the collection holds; people and agents choose a collection by it.";
        };
      }
    );
    default = { };
    example = lib.literalExpression ''{ runbooks.description = "The team's runbooks"; }'';
    description = ''
      Collections of AIDB besides the six that always exist (`nixos_docs`, `solved_issues`,
      `skill_embeddings`, `telemetry_patterns`, `system_registry`, `tool_schemas`), by name.

      One that is taken out here stays in the database with its documents: nothing is deleted by a
      switch.
    '';
  };

  config = lib.mkIf cfg.enable {
    services.aistack.settings.collections = lib.mkIf (cfg.collections != { }) (
      lib.mapAttrs (_: collection: {
        description = lib.mkDefault collection.description;
      }) cfg.collections
    );

    assertions = [
      {
        assertion = wrong == [ ];
        message = ''
          services.aistack.collections has names that are none: ${lib.concatStringsSep ", " wrong}.
          Use 1 to 63 of a-z, 0-9, _ and -, beginning with a letter or digit.
        '';
      }
    ];
  };
}
