# What the checks of the network share, for the test script: who listens, and who is reached.
''
  def listening(node):
      """Protocol and port -> the addresses, of all that listens beyond loopback; and all ports."""
      beyond, ports = {}, set()
      told = node.succeed("ss --listening --tcp --udp --numeric --no-header | awk '{print $1, $5}'")
      for line in told.splitlines():
          protocol, at = line.split()
          address, _, port = at.rpartition(":")
          ports.add((protocol, int(port)))
          if not address.startswith(("127.", "[::1]", "[::ffff:127.")):
              beyond.setdefault((protocol, int(port)), set()).add(address.strip("[]"))
      return beyond, ports


  def reached(guest, addresses, ports):
      """Which TCP ports of these addresses another node reaches; what does not answer is not reached."""
      asked = " ".join(f"{address}/{port}" for address in addresses for port in sorted(ports))
      found = guest.succeed(
          f"for one in {asked}; do"
          " (timeout 2 bash -c \"exec 3<> /dev/tcp/$one\" 2> /dev/null && echo $one) & done; wait"
      )
      return {tuple(line.split("/")) for line in found.split()}
''
