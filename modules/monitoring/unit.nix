# What is added to each unit of monitoring, which otherwise is as nixpkgs has it.
#
#   systemd.services.prometheus = bounded "2G" // { ... };
{ lib }:
memory: {
  # A fault may last longer than five tries.
  startLimitIntervalSec = lib.mkDefault 0;
  serviceConfig = {
    Slice = lib.mkDefault "aistack-monitoring.slice";
    # Who watches must not take the memory of what is watched.
    MemoryMax = lib.mkDefault memory;
  };
}
