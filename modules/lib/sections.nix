# Which sections of the settings each unit reads: what is not named here is not in its file, so that
# a change of it, or a new section, restarts nobody who has nothing to do with it.
#
#   (import ./sections.nix { inherit lib; }).of "aidb" settings
{ lib }:
let
  # Whoever opens the whole stack.
  stack = [
    "chunking"
    "collections"
    "embeddings"
    "limits"
    "log"
    "postgres"
    "qdrant"
    "rate_limits"
    "redis"
    "validation"
  ];
  # Whoever serves watches what it depends on, and records its exceptions.
  serves = stack ++ [
    "backup"
    "health"
    "issues"
    "tracing"
  ];
  # It plans garbage collections by these rules, and looks at the host.
  console = [
    "gc"
    "host"
    "learning"
  ];
  reads = {
    aidb = serves ++ [ "aidb" ];
    coordinator = serves ++ [
      "coordinator"
      "learning"
    ];
    gc = stack ++ [
      "gc"
      "learning"
    ];
    health = stack ++ [
      "health"
      "host"
    ];
    issues = stack ++ [ "issues" ];
  };

  # Services tell of the age of backups; how they are made and how long they stay is the jobs'.
  ofBackup = [
    "data_dir"
    "key_file"
    "max_age_hours"
    "repositories"
  ];
  keep = names: lib.filterAttrs (name: _: lib.elem name names);
in
{
  # name: whether this unit reads that section.
  reads = name: section: lib.elem section reads.${name};

  # name: settings: what is in the unit's file.
  of =
    name: settings:
    lib.mapAttrs (section: value: if section == "backup" then keep ofBackup value else value) (
      keep (reads.${name} ++ lib.optionals (name == "aidb" && settings.aidb.console) console) settings
    );
}
