# The sandbox of the units, and the firewall around them.
{
  self,
  evaluate,
  with',
  ...
}:
{
  testFirewallLeavesTheBackendClosed = {
    expr =
      (with' {
        openFirewall = true;
        aidb.address = "0.0.0.0";
        nginx = {
          enable = true;
          domain = "kb.test";
        };
      }).networking.firewall.allowedTCPPorts;
    expected = [
      80
      443
    ];
  };
  testSandboxCanBeOverridden = {
    expr =
      (evaluate [
        self.nixosModules.default
        {
          services.aistack.enable = true;
          systemd.services.aistack-aidb.serviceConfig.ProtectHome = false;
        }
      ]).systemd.services.aistack-aidb.serviceConfig.ProtectHome;
    expected = false;
  };
}
