# The coordinator on one node: what worked is learned, found again, and given as context.
{ lib, pkgs, ... }:
let
  domain = "kb.test";
  mcpClient = pkgs.python3.withPackages (ps: [ ps.mcp ]);
in
{
  name = "aistack-coordinator";

  nodes.machine = {
    services.aistack = {
      enable = true;
      nginx = {
        enable = true;
        inherit domain;
      };
      collections.handbook = { };
      # This check asks more than a person would.
      settings.rate_limits.per_minute = 600;
    };
    networking.hosts."127.0.0.1" = [ domain ];
    environment.etc."handbook".source = ../docs;
    environment.systemPackages = [
      pkgs.curl
      mcpClient
    ];
  };

  testScript = ''
    import json
    import shlex

    ca = "/var/lib/aistack-tls/ca.pem"
    base = "https://${domain}/coordinator"
    question = "nginx answers 502 after the switch"
    answer = "The upstream was not up yet: order nginx after the service."


    def call(method, path, body=None, key="/var/lib/aistack-secrets/admin-key"):
        """Status and JSON of a request through nginx."""
        data = f"--json {shlex.quote(json.dumps(body))}" if body is not None else ""
        out = machine.succeed(
            f"curl -s --cacert {ca} -X {method} {data} -w '\\n%{{http_code}}' "
            f"-H \"Authorization: Bearer $(cat {key})\" {base}{path}"
        )
        text, _, status = out.rpartition("\n")
        return int(status), json.loads(text)


    def up():
        machine.wait_for_unit("aistack-aidb.service")
        machine.wait_for_unit("aistack-coordinator.service")
        machine.wait_for_unit("nginx.service")
        # Qdrant may come up after what asks it.
        machine.wait_until_succeeds(f"curl -sf --cacert {ca} {base}/health/ready | grep -w ok")


    machine.start(allow_reboot=True)
    up()
    machine.succeed("aistack ingest --collection handbook /etc/handbook/ >&2")

    with subtest("an interaction is recorded once, however often it is sent"):
        new = {"question": question, "response": answer, "idempotency_key": "one", "tags": ["nginx"]}
        status, recorded = call("POST", "/v1/interactions", new)
        t.assertEqual(status, 201, recorded)
        _, again = call("POST", "/v1/interactions", new)
        t.assertEqual(again["id"], recorded["id"])
        status, problem = call("POST", "/v1/interactions", {**new, "response": "another"})
        t.assertEqual(status, 409, problem)

    with subtest("a good outcome makes it a solution"):
        outcome = {"outcome": "success", "feedback": 1.0}
        status, learned = call("POST", f"/v1/interactions/{recorded['id']}/outcome", outcome)
        t.assertEqual(status, 200, learned)
        t.assertGreater(learned["value"], 0.5)
        solution = learned["solution_id"]
        t.assertIsNotNone(solution)

    with subtest("the same problem again strengthens it"):
        more = {"question": question, "response": answer, "outcome": "success"}
        _, second = call("POST", "/v1/interactions", more)
        t.assertEqual(second["solution_id"], solution)
        _, found = call("GET", f"/v1/solutions/{solution}")
        t.assertEqual(found["successes"], 2)

    with subtest("context comes from solutions and collections, within its budget"):
        wanted = {"question": question, "collections": ["handbook"], "budget_tokens": 400}


        def context():
            _, given = call("POST", "/v1/augment", wanted)
            return given


        for _ in range(60):
            given = context()
            if any(source["id"] == solution for source in given["sources"]):
                break
            machine.sleep(1)
        t.assertIn(answer, given["context"])
        t.assertEqual(given["sources"][0]["id"], solution)
        t.assertLessEqual(given["tokens"], 400)
        t.assertIn(given["route"]["target"], ("local", "remote"))

    with subtest("MCP does the same"):
        arguments = json.dumps({"question": question})
        out = machine.succeed(
            f"SSL_CERT_FILE={ca} ${lib.getExe' mcpClient "python3"} ${./lib/mcp_client.py} "
            f"{base}/mcp /var/lib/aistack-secrets/admin-key augment_query {shlex.quote(arguments)}"
        )
        t.assertEqual(json.loads(out)["sources"][0]["id"], solution)

    with subtest("a key without the collection knows of no solution"):
        machine.succeed("aistack keys create narrow --scope write --collection handbook > /root/narrow")
        status, _ = call("GET", f"/v1/solutions/{solution}", key="/root/narrow")
        t.assertEqual(status, 404)

    with subtest("AIDB's keys and errors are the coordinator's"):
        machine.succeed("echo aistack_000000000000_$(printf 'a%.0s' $(seq 43)) > /root/wrong")
        status, problem = call("GET", "/v1/stats", key="/root/wrong")
        t.assertEqual(status, 401)
        t.assertEqual(problem["type"], "urn:aistack:problem:unauthenticated")

    with subtest("training data is one example a line"):
        lines = machine.succeed(
            f"curl -sf --cacert {ca} {base}/v1/training-data "
            "-H \"Authorization: Bearer $(cat /var/lib/aistack-secrets/admin-key)\""
        ).splitlines()
        t.assertEqual(len(lines), 2)
        t.assertEqual(json.loads(lines[0])["messages"][0]["content"], question)

    with subtest("a reboot keeps what was learned"):
        machine.reboot()
        up()
        _, found = call("GET", f"/v1/solutions/{solution}")
        t.assertEqual(found["successes"], 2)
        _, stats = call("GET", "/v1/stats")
        t.assertEqual(stats["solutions"]["total"], 1)
        t.assertEqual(context()["sources"][0]["id"], solution)
  '';
}
