# One sandbox for every unit of ours, and named relaxations of it.
#
#   serviceConfig = hardening.sandbox [ hardening.relax.loopback ] // { ExecStart = ...; };
#
# Every value is a default: `systemd.services.X.serviceConfig.Y = ...` of a host wins.
# The check `hardening` holds each unit to `systemd-analyze security` <= 1.5.
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
in
{
  # relaxations: the sandbox with these applied, the later ones over the earlier.
  sandbox =
    relaxations: lib.mapAttrs (_: lib.mkDefault) (lib.mergeAttrsList ([ closed ] ++ relaxations));

  relax = {
    # Talks to this host only.
    loopback = inet // {
      IPAddressAllow = "localhost";
    };

    # Talks to other hosts: databases, an embedding endpoint.
    network = inet // {
      IPAddressDeny = "";
    };

    # Binds ports below 1024: a namespace of users of its own would take the right away.
    lowPorts = {
      AmbientCapabilities = "CAP_NET_BIND_SERVICE";
      CapabilityBoundingSet = "CAP_NET_BIND_SERVICE";
      PrivateUsers = false;
    };

    # Runs as a user that has other units, too: IPC objects are not this one's to remove.
    shared = {
      RemoveIPC = false;
    };

    # Gives its files the owner they have: no right is needed for that, but the call.
    chown.SystemCallFilter = systemCalls ++ [ "@chown" ];

    # Runs as root, since its files must belong to root; still without any capability, and in a
    # namespace of users where everybody is who they are outside.
    root = {
      PrivateUsers = "identity";
    };
  };
}
