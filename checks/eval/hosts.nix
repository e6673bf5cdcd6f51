# The hosts that are evaluated, and what is asked of them.
{
  lib,
  pkgs,
  self,
}:
let
  host = {
    # One package set for all of these evaluations.
    nixpkgs.pkgs = pkgs;
    documentation.enable = false;
    boot.loader.grub.device = "/dev/vda";
    fileSystems."/" = {
      device = "/dev/vda1";
      fsType = "ext4";
    };
    system.stateVersion = "26.05";
  };

  evaluate = modules: (lib.nixosSystem { modules = [ host ] ++ modules; }).config;

  with' =
    settings:
    evaluate [
      self.nixosModules.default
      {
        services.aistack = {
          enable = true;
        }
        // settings;
      }
    ];

  enabled = with' { };

  # The options that the failing assertions of a configuration name.
  complaints =
    settings:
    lib.unique (
      lib.concatMap (
        a:
        lib.optionals (!a.assertion) (
          lib.filter (word: lib.hasPrefix "services.aistack" word) (
            lib.concatMap lib.toList (builtins.split "[^A-Za-z.]+" (lib.head (lib.splitString "\n" a.message)))
          )
        )
      ) (with' settings).assertions
    );

  complains = option: settings: {
    expr = lib.elem option (complaints settings);
    expected = true;
  };

  refuses = option: value: {
    expr =
      (builtins.tryEval (lib.deepSeq (lib.getAttrFromPath option (with' value).services.aistack) null))
      .success;
    expected = false;
  };

  # A unit's settings file; its name changes with its text.
  settingsFile = name: config: config.systemd.services.${name}.environment.AISTACK_CONFIG;

  backups =
    settings:
    with' {
      backups = {
        enable = true;
      }
      // settings;
    };

  backedUp = backups { };

  # nginx, with a certificate.
  served = tls: {
    inherit tls;
    nginx = {
      enable = true;
      domain = "kb.test";
    };
  };

  unit = name: enabled.systemd.services.${name};
in
{
  inherit
    lib
    pkgs
    self
    evaluate
    with'
    enabled
    complaints
    complains
    refuses
    served
    settingsFile
    backups
    backedUp
    unit
    ;
}
