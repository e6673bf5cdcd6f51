# Garbage collection: when it runs, and by which rules.
{
  lib,
  with',
  enabled,
  refuses,
  unit,
  ...
}:
let
  collects =
    settings:
    let
      inherit (with' settings) systemd;
    in
    {
      service = systemd.services ? aistack-gc;
      timer = systemd.timers ? aistack-gc;
    };
in
{
  testGarbageCollectionByDefault = {
    expr = collects { };
    expected = {
      service = true;
      timer = true;
    };
  };
  testGarbageCollectionOff = {
    expr = collects { gc.enable = false; };
    expected = {
      service = false;
      timer = false;
    };
  };
  testGarbageCollectionGoesWithTheCoordinator = {
    expr = collects { coordinator.enable = false; };
    expected = {
      service = false;
      timer = false;
    };
  };
  # Whoever turns the timer off collects by hand, by the same rules.
  testGarbageCollectionByHandHasItsRules = {
    expr =
      (with' {
        gc = {
          enable = false;
          maxAgeDays = 90;
        };
      }).services.aistack.settings.gc.max_age_days;
    expected = 90;
  };
  testGarbageCollectionIsMadeUp = {
    expr = enabled.systemd.timers.aistack-gc.timerConfig;
    expected = {
      OnCalendar = "*-*-* 02:00:00";
      Persistent = true;
      RandomizedDelaySec = "15min";
    };
  };
  # By its timer only; a switch or a boot does not collect.
  testGarbageCollectionIsStartedByNothingElse = {
    expr = {
      inherit (unit "aistack-gc") wantedBy requiredBy restartIfChanged;
    };
    expected = {
      wantedBy = [ ];
      requiredBy = [ ];
      restartIfChanged = false;
    };
  };
  testGarbageCollectionWaitsForTheMigration = {
    expr =
      lib.elem "aistack-migrate.service" (unit "aistack-gc").after
      && lib.elem "aistack-migrate.service" (unit "aistack-gc").wants;
    expected = true;
  };
  testNoHardMaximumAge = {
    expr = enabled.services.aistack.settings.gc ? hard_max_age_days;
    expected = false;
  };
  testHardMaximumAge = {
    expr = (with' { gc.hardMaxAgeDays = 730; }).services.aistack.settings.gc.hard_max_age_days;
    expected = 730;
  };
  # A key left out would mean the default.
  testInteractionsForEver = {
    expr = (with' { gc.interactionsDays = null; }).services.aistack.settings.gc.interactions_days;
    expected = 0;
  };
  testGarbageCollectionTakesNothingAtAll = refuses [ "gc" "maxFraction" ] { gc.maxFraction = 0; };
  testGarbageCollectionTakesMoreThanAll = refuses [ "gc" "maxFraction" ] { gc.maxFraction = 1.5; };
  testValueOutOfRange = refuses [ "gc" "minValue" ] { gc.minValue = 2; };
  testNoSchedule = refuses [ "gc" "schedule" ] { gc.schedule = [ ]; };

}
