# What a service tells of itself, for the test script of a node `machine` with curl, which has
# `authorized`: curl's option with a key.
''
  def metrics(base, right):
      """A service's metrics by name and labels, as soon as they are right: it looks every 10 seconds."""
      for _ in range(60):
          text = machine.succeed(f"curl -sf {authorized} {base}/metrics")
          lines = [line for line in text.splitlines() if not line.startswith("#")]
          found = {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}
          if right(found):
              return found
          machine.sleep(0.5)
      raise Exception(f"the metrics stay wrong: {found}")
''
