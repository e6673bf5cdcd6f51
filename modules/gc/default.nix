# Garbage collection: solutions that are not worth keeping go, by a timer, and can be brought back.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  own = cfg.gc;
  given = import ../lib/given.nix { inherit lib; };
  at = "services.aistack.gc";
  base = import ../lib/stack-unit.nix { inherit config lib pkgs; } {
    name = "gc";
  };

  # The schema's bound too, but said by the option.
  share = lib.types.addCheck (lib.types.numbers.between 0 1) (x: x > 0) // {
    description = "number above 0, up to 1";
  };
in
{
  options.services.aistack.gc = {
    enable = lib.mkOption {
      type = lib.types.bool;
      default = cfg.coordinator.enable;
      defaultText = lib.literalExpression "config.services.aistack.coordinator.enable";
      example = false;
      description = ''
        Whether to collect, by a timer, learned solutions that are not worth keeping: old ones of low
        value, duplicates, the least valuable where there are too many, and passages of the index
        that belong to nothing. {command}`aistack gc plan` shows what the next run would take,
        {command}`aistack gc undo` brings back what one took. Both work with the timer off, too.
      '';
    };

    schedule = lib.mkOption {
      type = lib.types.either lib.types.str (lib.types.nonEmptyListOf lib.types.str);
      default = "*-*-* 02:00:00";
      example = "Sun 04:30";
      description = ''
        When to collect, as one or more calendar expressions of {manpage}`systemd.time(7)`. A run
        that the host was off for is made up after its next start.
      '';
    };

    randomizedDelay = lib.mkOption {
      type = lib.types.str;
      default = "15min";
      example = "0";
      description = ''
        Longest random delay of a run, as a time span of {manpage}`systemd.time(7)`: hosts that share
        a database do not all begin at once. One that finds another at work ends.
      '';
    };

    maxAgeDays = lib.mkOption {
      type = lib.types.ints.positive;
      default = 30;
      description = ''
        Days since a solution was learned or last served after which it goes, if its value is below
        {option}`${at}.minValue`.
      '';
    };

    minValue = lib.mkOption {
      type = lib.types.numbers.between 0 1;
      default = 0.5;
      description = "Value from which a solution does not go for {option}`${at}.maxAgeDays`.";
    };

    hardMaxAgeDays = lib.mkOption {
      type = lib.types.nullOr lib.types.ints.positive;
      default = null;
      example = 730;
      description = ''
        Days since a solution was learned after which it goes whatever its value. With `null`, never.
        One that is pinned stays.
      '';
    };

    maxSolutions = lib.mkOption {
      type = lib.types.ints.positive;
      default = 100000;
      description = "Number of solutions above which the least valuable go.";
    };

    maxFraction = lib.mkOption {
      type = share;
      default = 0.05;
      description = ''
        Largest share of all solutions that one run takes for their age or as duplicates, but always
        one. It does not bound what goes for {option}`${at}.maxSolutions`.
      '';
    };

    trashDays = lib.mkOption {
      type = lib.types.ints.between 1 3650;
      default = 7;
      description = "Days for which {command}`aistack gc undo` can bring back what a run took.";
    };

    interactionsDays = lib.mkOption {
      type = lib.types.nullOr lib.types.ints.positive;
      default = 365;
      description = ''
        Days after which recorded interactions are deleted; that cannot be undone. With `null`,
        never.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    # Also without the timer: the rules are those of a run by hand, too.
    services.aistack.settings.gc = given {
      max_age_days = own.maxAgeDays;
      min_value = own.minValue;
      max_solutions = own.maxSolutions;
      max_fraction = own.maxFraction;
      trash_days = own.trashDays;
      # Left out it would mean the default.
      interactions_days = if own.interactionsDays != null then own.interactionsDays else 0;
      hard_max_age_days = own.hardMaxAgeDays;
    };

    services.aistack.settings.host = lib.mkIf own.enable {
      units = [ "aistack-gc.service" ];
      timers = [ "aistack-gc.timer" ];
      # Another schedule has another age; whoever sets it knows which.
      jobs = lib.mkIf (own.schedule == "*-*-* 02:00:00") { gc = 49; };
    };

    systemd.services.aistack-gc = lib.mkIf own.enable (
      base
      // {
        description = "aistack garbage collection of learned solutions";
        # By its timer alone; but who stops the stack stops this with it. Killed, it has done whole
        # batches, and the next run does the rest.
        partOf = [ "aistack.target" ];
        # A switch neither ends a run nor waits for one.
        restartIfChanged = false;

        serviceConfig = base.serviceConfig // {
          # Every other exit code than 0 is a failure, also 3: a part could not be done.
          Type = "oneshot";
          ExecStart = "${lib.getExe cfg.package} gc run";
          # It rests between its batches: long is not stuck.
          TimeoutStartSec = "6h";
          # The services come first. Not "idle": starved, it would hold its locks in the database.
          CPUWeight = 10;
          # Where the kernel weighs processes and not units.
          Nice = 19;
          IOSchedulingClass = "idle";
        };
      }
    );

    systemd.timers.aistack-gc = lib.mkIf own.enable {
      description = "aistack garbage collection of learned solutions";
      wantedBy = [ "timers.target" ];
      timerConfig = {
        OnCalendar = own.schedule;
        Persistent = true;
        RandomizedDelaySec = own.randomizedDelay;
      };
    };
  };
}
