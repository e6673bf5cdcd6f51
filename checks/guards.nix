# Limits, wrong keys, hostile requests and a Redis that fails, on a host with two workers.
{ lib, pkgs, ... }:
let
  domain = "kb.test";
  python = lib.getExe pkgs.python3;
in
{
  name = "aistack-guards";

  nodes.machine = {
    services.aistack = {
      enable = true;
      aidb.workers = 2;
      nginx = {
        enable = true;
        inherit domain;
      };
      settings.rate_limits = {
        per_minute = 30;
        per_hour = 500;
      };
    };
    virtualisation.cores = 2;
    networking.hosts."127.0.0.1" = [ domain ];
    environment.systemPackages = [
      pkgs.curl
    ];
  };

  testScript =
    { nodes, ... }:
    let
      port = toString nodes.machine.services.aistack.aidb.port;
    in
    ''
      import json
      import shlex

      direct = "http://127.0.0.1:${port}"
      edge = "https://${domain}"
      ask = json.dumps({"query": "anything at all", "collection": "nixos_docs"})


      def make_key(name, *options):
          return machine.succeed(f"aistack keys create {name} {' '.join(options)}").strip()


      def post(path, body, key, base=direct, more=""):
          """Status, headers and body of a request."""
          out = machine.succeed(
              f"curl -sk -D /tmp/head -o /tmp/body -w '%{{http_code}} %{{time_total}}' {more} "
              f"-H 'Authorization: Bearer {key}' --json {shlex.quote(body)} {base}{path}"
          ).split()
          head = {
              name.lower(): value.strip()
              for name, _, value in (
                  line.partition(":") for line in machine.succeed("cat /tmp/head").splitlines()
              )
          }
          return int(out[0]), float(out[1]), head, machine.succeed("cat /tmp/body")


      def burst(count, key, base=direct, more=""):
          """How many of so many requests at once were answered, by status."""
          machine.succeed(
              f"seq {count} | xargs -P 16 -I@ curl -sk -o /dev/null -w '%{{http_code}} ' {more} "
              f"-H 'Authorization: Bearer {key}' --json {shlex.quote(ask)} {base}/v1/query > /tmp/codes"
          )
          codes = machine.succeed("cat /tmp/codes").split()
          return {code: codes.count(code) for code in set(codes)}


      machine.wait_for_unit("aistack-aidb.service")
      machine.wait_for_unit("nginx.service")

      with subtest("two workers share one limit, and say what it is"):
          key = make_key("limited")
          status, _, head, _ = post("/v1/query", ask, key)
          t.assertEqual(status, 200)
          t.assertIn("q=30", head["ratelimit-policy"])
          counts = burst(90, key)
          # What was asked already counts; half a second gives one more.
          t.assertLessEqual(counts["200"], 32, counts)
          t.assertGreaterEqual(counts["200"], 28, counts)
          status, _, head, body = post("/v1/query", ask, key)
          t.assertEqual(status, 429)
          t.assertGreaterEqual(int(head["retry-after"]), 1)
          t.assertEqual(json.loads(body)["type"], "urn:aistack:problem:rate-limited")

      with subtest("what a client says of its address changes nothing"):
          forged = burst(10, key, more="-H 'X-Forwarded-For: 192.0.2.@'")
          t.assertLessEqual(forged.get("200", 0), 3, forged)

      with subtest("another key has its own limit, and one may have more"):
          t.assertEqual(burst(10, make_key("other")), {"200": 10})
          t.assertEqual(burst(80, make_key("wide", "--per-minute", "200")), {"200": 80})

      with subtest("MCP counts like HTTP"):
          call = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
          accept = "-H 'Accept: application/json, text/event-stream'"
          burst(20, key)  # what the last seconds gave
          status, _, _, _ = post("/mcp", call, key, more=accept)
          t.assertEqual(status, 429)
          status, _, _, body = post("/mcp", call, make_key("agent"), more=accept)
          t.assertEqual(status, 200, body)

      with subtest("a client with a stale key is slowed down, and in nobody's way"):
          stale = "aistack_" + "0" * 12 + "_" + "a" * 43
          codes = burst(40, stale)
          t.assertGreater(codes["429"], 20, codes)
          t.assertNotIn("200", codes)
          right = make_key("right", "--per-minute", "300")
          # A process knows the right keys that it has seen.
          t.assertEqual(burst(40, right), {"200": 40})

      with subtest("an address with many wrong keys has to wait, but not for keys known to be right"):
          wrong = " ".join(f"aistack_0000000000{i}_" + "a" * 43 for i in range(10, 50))
          machine.succeed(f"printf '%s\n' {wrong} > /tmp/wrong")
          machine.succeed(
              f"xargs -a /tmp/wrong -P 8 -I@ curl -s -o /dev/null -w '%{{http_code}} ' "
              f"-H 'Authorization: Bearer @' {direct}/v1/collections > /tmp/codes"
          )
          codes = machine.succeed("cat /tmp/codes").split()
          t.assertGreater(codes.count("429"), 20, codes)
          t.assertEqual(burst(20, right), {"200": 20})

      with subtest("the size of a question is bounded in bytes"):
          large = json.dumps({"query": "ä" * 6000, "collection": "nixos_docs"})
          status, _, _, body = post("/v1/query", large, right)
          t.assertEqual(status, 413, body)

      with subtest("a document with a credential is refused, and the credential told nowhere"):
          writer = make_key("writer", "--scope", "write")
          # Its first use waits until the wrong keys of this address are a while ago.
          collections = f"curl -sf -H 'Authorization: Bearer {writer}' {direct}/v1/collections"
          machine.wait_until_succeeds(f"for i in 1 2 3 4 5 6; do {collections} || exit 1; done")
          secret = "ghp_" + "Q7w9Zr2Lk5Vb8Nc1Xm4Td6Ys3Hf0Gj7Pa2Ue"
          document = json.dumps({
              "path": "notes.md", "title": "Notes",
              "content": f"# Notes\n\nthe token is {secret}\n",
          })
          status, _, _, body = post(
              "/v1/collections/nixos_docs/documents", document, writer, more="-X PUT"
          )
          t.assertEqual(status, 422, body)
          t.assertIn("credential", body)
          t.assertNotIn(secret, body)
          machine.fail(f"journalctl --no-pager -u aistack-aidb | grep -F {secret}")

      with subtest("hostile requests end at nginx"):
          machine.succeed("head -c 10000000 /dev/zero > /tmp/ten")
          code = f"curl -sk -o /tmp/out -w '%{{http_code}}' -H 'Authorization: Bearer {right}'"
          status = machine.succeed(f"{code} --data-binary @/tmp/ten {edge}/v1/query")
          t.assertEqual(status, "413")
          t.assertIn("urn:aistack:problem:too-large", machine.succeed("cat /tmp/out"))
          status = machine.succeed(f"{code} --http1.1 -H \"X-Long: $(head -c 40000 /dev/zero | tr '\\0' a)\" {edge}/v1/collections")
          t.assertIn(status, ("400", "414", "431"))
          machine.succeed("head -c 50000000 /dev/zero | gzip -9 > /tmp/bomb.gz")
          status = machine.succeed(
              f"{code} -H 'Content-Encoding: gzip' -H 'Content-Type: application/json' "
              f"--data-binary @/tmp/bomb.gz {edge}/v1/query"
          )
          t.assertIn(status, ("400", "415"))

      with subtest("clients that trickle do not keep others out"):
          machine.execute("${python} ${./lib/slow_loris.py} ${domain} 80 > /tmp/loris 2>&1 &")
          machine.wait_until_succeeds("grep open /tmp/loris")
          t.assertEqual(burst(5, right, base=edge), {"200": 5})
          machine.wait_until_succeeds("grep 'all closed' /tmp/loris", timeout=40)

      with subtest("an address is bounded by nginx whatever its keys are"):
          codes = burst(700, stale, base=edge)
          t.assertGreater(codes["429"], 100, codes)
          machine.succeed("journalctl --no-pager -u nginx | grep 'limiting requests'")

      with subtest("Redis killed: still limited, and at once"):
          machine.succeed("systemctl kill --signal=KILL redis-aistack; systemctl stop redis-aistack")
          key = make_key("without-redis")
          status, seconds, _, _ = post("/v1/query", ask, key)
          t.assertEqual(status, 200)
          t.assertLess(seconds, 1)
          # Each of the two workers limits by itself.
          counts = burst(120, key)
          t.assertLessEqual(counts["200"], 64, counts)
          t.assertGreater(counts["429"], 50, counts)
          metrics = machine.succeed(f"curl -s -H 'Authorization: Bearer {right}' {direct}/metrics")
          t.assertRegex(metrics, r"(?m)^aistack_rate_limiter_degraded\S* [12]")

      with subtest("Redis silent: no request waits for it long"):
          machine.succeed("systemctl start redis-aistack.service")
          machine.wait_until_succeeds(
              f"curl -s -H 'Authorization: Bearer {right}' {direct}/metrics | grep -E '^aistack_rate_limiter_degraded\\S* 0'"
          )
          machine.succeed("systemctl kill --signal=STOP redis-aistack.service")
          key = make_key("silent-redis")
          for _ in range(6):
              status, seconds, _, _ = post("/v1/query", ask, key)
              t.assertEqual(status, 200)
              t.assertLess(seconds, 1)
          machine.succeed("systemctl kill --signal=CONT redis-aistack.service")

      with subtest("all of it left AIDB unharmed"):
          t.assertEqual(machine.get_unit_property("aistack-aidb.service", "NRestarts"), "0")
    '';
}
