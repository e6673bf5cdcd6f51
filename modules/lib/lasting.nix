# A unit of nixpkgs' that is started again for as long as it takes.
#
# By default systemd gives a unit up after five tries, which a full disk or a crash that repeats itself
# uses up within a second; nobody starts it when the cause is gone. Redis is not started again at all.
#
#   systemd.services.qdrant = lasting;
{ lib }:
{
  # Above the module's own limit, where it has one, and below what a host forces.
  unitConfig.StartLimitIntervalSec = lib.mkOverride 90 0;
  serviceConfig = {
    Restart = lib.mkDefault "always";
    RestartSec = lib.mkDefault 1;
    RestartSteps = lib.mkDefault 5;
    RestartMaxDelaySec = lib.mkDefault 30;
  };
}
