# One sandbox for every unit of ours, and named relaxations of it.
#
#   serviceConfig = hardening.sandbox [ hardening.relax.loopback ] // { ExecStart = ...; };
#
# Every value is a default: `systemd.services.X.serviceConfig.Y = ...` of a host wins.
# The check `hardening` holds each unit to `systemd-analyze security` <= 1.5, and the page
# docs/reference/exposure.md to what the units are.
{ lib }:
let
  systemCalls = [
    "@system-service"
    "~@privileged @resources"
  ];

  closed = {
    AmbientCapabilities = "";
    CapabilityBoundingSet = "";
    DevicePolicy = "closed";
    IPAddressDeny = "any";
    KeyringMode = "private";
    # A core holds what the process knew: documents, keys.
    LimitCORE = 0;
    LockPersonality = true;
    MemoryDenyWriteExecute = true;
    NoNewPrivileges = true;
    PrivateDevices = true;
    PrivateMounts = true;
    PrivateNetwork = true;
    PrivateTmp = true;
    PrivateUsers = true;
    ProcSubset = "pid";
    ProtectClock = true;
    ProtectControlGroups = true;
    ProtectHome = true;
    ProtectHostname = true;
    ProtectKernelLogs = true;
    ProtectKernelModules = true;
    ProtectKernelTunables = true;
    ProtectProc = "invisible";
    ProtectSystem = "strict";
    RemoveIPC = true;
    RestrictAddressFamilies = [ "AF_UNIX" ];
    RestrictNamespaces = true;
    RestrictRealtime = true;
    RestrictSUIDSGID = true;
    SystemCallArchitectures = "native";
    SystemCallErrorNumber = "EPERM";
    SystemCallFilter = systemCalls;
    UMask = "0077";
  };

  inet = {
    PrivateNetwork = false;
    RestrictAddressFamilies = [
      "AF_UNIX"
      "AF_INET"
      "AF_INET6"
    ];
  };

  # Name -> why a unit needs it, as the reference tells, and what it changes.
  relaxations = {
    loopback = {
      reason = "talks to this host";
      settings = inet // {
        IPAddressAllow = "localhost";
      };
    };

    network = {
      reason = "talks to other hosts: databases, an embedding endpoint, repositories of backups";
      settings = inet // {
        IPAddressDeny = "";
      };
    };

    ownNetwork = {
      reason = "talks to programs that it starts, in a network that nobody else is in";
      settings = inet // {
        PrivateNetwork = true;
        IPAddressAllow = "localhost";
      };
    };

    lowPorts = {
      reason = "binds ports below 1024: a namespace of users of its own would take the right away";
      settings = {
        AmbientCapabilities = "CAP_NET_BIND_SERVICE";
        CapabilityBoundingSet = "CAP_NET_BIND_SERVICE";
        PrivateUsers = false;
      };
    };

    shared = {
      reason = "runs as a user that has other units, too: IPC objects are not this one's to remove";
      settings.RemoveIPC = false;
    };

    chown = {
      reason = "gives its files the owner they have: no right is needed for that, but the call";
      settings.SystemCallFilter = systemCalls ++ [ "@chown" ];
    };

    root = {
      reason = "runs as root, since its files must belong to root; still without any capability, and in a namespace of users where everybody is who they are outside";
      settings.PrivateUsers = "identity";
    };
  };
in
{
  # relaxations: the sandbox with these applied, the later ones over the earlier.
  sandbox =
    relaxations: lib.mapAttrs (_: lib.mkDefault) (lib.mergeAttrsList ([ closed ] ++ relaxations));

  relax = lib.mapAttrs (_: relaxation: relaxation.settings) relaxations;

  reasons = lib.mapAttrs (_: relaxation: relaxation.reason) relaxations;

  # serviceConfig: by which relaxations it differs from the closed sandbox, and what else is looser or
  # tighter in it.
  differences =
    serviceConfig:
    let
      changed = lib.filterAttrs (name: value: (serviceConfig.${name} or null) != value) closed;
      has = name: value: (serviceConfig.${name} or null) == value;
      applied = lib.filterAttrs (
        _: relaxation: lib.all lib.id (lib.mapAttrsToList has relaxation.settings)
      ) relaxations;
      explained = lib.concatMap (relaxation: lib.attrNames relaxation.settings) (lib.attrValues applied);
    in
    {
      relaxations = lib.attrNames applied;
      besides = lib.mapAttrsToList (
        name: _:
        "${name}=${lib.concatMapStringsSep " " toString (lib.toList (serviceConfig.${name} or "unset"))}"
      ) (removeAttrs changed explained);
    };
}
