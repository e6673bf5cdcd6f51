# What the checks of switches under load share, for the test script of a node `machine`:
#
#   with Load() as load:
#       ...
#   t.assertEqual(load.failures, [])
{ lib, pkgs }:
let
  python = lib.getExe' (pkgs.python3.withPackages (ps: [ ps.httpx ])) "python3";
in
{
  inherit python;

  # base: where nginx answers. keyFile: of a key that may read and write.
  #
  # `Load.acknowledged` has the paths of all documents that were written in any block.
  functions =
    { base, keyFile }:
    ''
      import json


      class Load:
          """Asks and writes all the while, over nginx; tells what failed when the block has ended."""

          acknowledged: list[str] = []

          def __enter__(self):
              machine.succeed(
                  "systemd-run --collect --unit=load --property=StandardOutput=truncate:/tmp/load.json"
                  " ${python} ${./load.py} ${base} ${keyFile}"
              )
              machine.sleep(2)
              return self

          def __exit__(self, *error):
              machine.sleep(1)
              machine.succeed("systemctl stop load.service")
              self.told = json.loads(machine.succeed("cat /tmp/load.json"))
              self.failures = self.told["failures"]
              self.acknowledged.extend(self.told["acknowledged"])
              print("asked:", sum(self.told["counts"].values()), self.told["counts"], self.told["longest"])
    '';
}
