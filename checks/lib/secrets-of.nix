# config: every secret that systemd hands to a unit of a host: where it lies -> its names and who gets it.
#
# Found in the units, whichever module made them, so that a new secret is among these by itself.
{ lib }:
config:
let
  # What a client is shown anyhow.
  public = [ "tls-certificate" ];

  loaded =
    unit: service:
    map (
      line:
      let
        parts = lib.splitString ":" line;
      in
      {
        name = lib.head parts;
        file = lib.concatStringsSep ":" (lib.tail parts);
        inherit unit;
        user =
          service.serviceConfig.User or (if service.serviceConfig.DynamicUser or false then unit else "root");
      }
    ) (lib.toList (service.serviceConfig.LoadCredential or [ ]));

  all = lib.concatLists (lib.mapAttrsToList loaded config.systemd.services);
in
lib.mapAttrs
  (_: uses: {
    names = lib.unique (map (use: use.name) uses);
    units = lib.unique (map (use: use.unit) uses);
    users = lib.unique (map (use: use.user) uses);
  })
  (
    lib.groupBy (use: use.file) (
      lib.filter (use: lib.hasPrefix "/" use.file && !lib.elem use.name public) all
    )
  )
