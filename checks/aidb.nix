# The whole way on one node: switch on, import, ask over HTTP and MCP through nginx, be refused,
# reboot, lose the index and rebuild it.
{ lib, pkgs, ... }:
let
  domain = "kb.test";
  mcpClient = pkgs.python3.withPackages (ps: [ ps.mcp ]);
in
{
  name = "aistack-aidb";

  nodes.machine = {
    services.aistack = {
      enable = true;
      nginx = {
        enable = true;
        inherit domain;
      };
      collections.handbook.description = "This project's own documentation";
    };
    networking.hosts."127.0.0.1" = [ domain ];
    environment.etc."handbook".source = ../docs;
    environment.systemPackages = [
      pkgs.curl
      pkgs.jq
      mcpClient
    ];
  };

  testScript =
    { nodes, ... }:
    ''
      import base64
      import json
      import shlex

      machine.start(allow_reboot=True)
      base = "https://${domain}"
      ca = "/var/lib/aistack-tls/ca.pem"
      question = "how do I rebuild the index from PostgreSQL"


      def curl(path, *options, key="$(cat /root/key)"):
          auth = f"-H \"Authorization: Bearer {key}\"" if key else ""
          return f"curl -sS --cacert {ca} {auth} {' '.join(options)} {base}{path}"


      def status(path, *options, key="$(cat /root/key)"):
          return machine.succeed(curl(path, "-o /dev/null -w '%{http_code}'", *options, key=key))


      def ask():
          body = json.dumps({"query": question, "collection": "handbook"})
          answer = machine.succeed(
              curl("/v1/query", "--fail-with-body", "--json", f"'{body}'")
          )
          return json.loads(answer)


      def pdf(text):
          """One page with a line of text."""
          drawn = f"BT /F 12 Tf 10 50 Td ({text}) Tj ET"
          objects = [
              "<< /Type /Catalog /Pages 2 0 R >>",
              "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
              "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 100] /Contents 4 0 R"
              " /Resources << /Font << /F 5 0 R >> >> >>",
              f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream",
              "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
          ]
          parts, places = ["%PDF-1.4\n"], []
          for number, what in enumerate(objects, 1):
              places.append(sum(map(len, parts)))
              parts.append(f"{number} 0 obj\n{what}\nendobj\n")
          begin = sum(map(len, parts))
          table = "".join(f"{place:010d} 00000 n \n" for place in places)
          parts.append(f"xref\n0 6\n0000000000 65535 f \n{table}trailer\n<< /Size 6 /Root 1 0 R >>\n")
          parts.append(f"startxref\n{begin}\n%%EOF\n")
          return "".join(parts).encode()


      def up():
          machine.wait_for_unit("aistack.target")
          machine.wait_for_unit("aistack-aidb.service")
          machine.wait_for_unit("nginx.service")
          # Qdrant may come up after what asks it.
          machine.wait_until_succeeds(f"curl -sf --cacert {ca} {base}/health/ready | grep -w ok")


      with subtest("the stack comes up, and only on loopback"):
          up()
          listening = machine.succeed("ss --listening --tcp --numeric --no-header | awk '{print $4}'")
          beyond = {
              line.rsplit(":", 1)[1]
              for line in listening.split()
              if not line.startswith(("127.", "[::1]"))
          }
          t.assertEqual(beyond, {"80", "443"}, listening)

      with subtest("the first admin key is root's alone"):
          machine.succeed("test $(stat -c %a:%U /var/lib/aistack-secrets/admin-key) = 600:root")
          machine.succeed("mv /var/lib/aistack-secrets/admin-key /root/key")

      with subtest("real files are imported"):
          machine.succeed("aistack ingest --collection handbook /etc/handbook/ >&2")
          machine.succeed("aistack keys list | grep -w admin")

      with subtest("a PDF is read by a process of its own, in the service's sandbox"):
          content = base64.b64encode(pdf("The pelican brief")).decode()
          body = json.dumps({"path": "a.pdf", "content_base64": content})
          told = machine.succeed(
              curl(
                  "/v1/collections/nixos_docs/documents",
                  "--fail-with-body -X PUT --json",
                  f"'{body}'",
              )
          )
          stored = json.loads(told)["document"]["id"]
          t.assertIn("The pelican brief", machine.succeed(curl(f"/v1/documents/{stored}")))
          machine.succeed(curl(f"/v1/documents/{stored}", "--fail -X DELETE"))

      with subtest("the command is root's, and takes words as they are"):
          odd = "$HOME %n 'x' \\t"
          machine.succeed(f"aistack keys create {shlex.quote(odd)}")
          keys = {k["name"]: k["id"] for k in json.loads(machine.succeed("aistack keys list --json"))}
          t.assertEqual(keys.keys(), {"admin", odd})
          machine.succeed(f"aistack keys revoke {keys[odd]}")
          t.assertIn("as root", machine.fail("runuser -u nobody -- aistack keys list 2>&1"))
          machine.succeed("runuser -u nobody -- aistack config check")
          machine.succeed("runuser -u nobody -- aistack keys generate | grep -E '^aistack_'")
          machine.succeed("chmod 0700 /root && cd /root && aistack keys list | grep -w admin")

      with subtest("HTTP answers through nginx, with a request id"):
          page = ask()
          t.assertEqual(page["hits"][0]["title"], "Rebuild the index")
          head = machine.succeed(curl("/v1/collections", "-D - -o /dev/null"))
          t.assertIn("x-request-id:", head.lower())
          redirect = machine.succeed("curl -s -o /dev/null -w '%{http_code}' http://${domain}/")
          t.assertEqual(redirect, "308")

      with subtest("nobody gets in without a key"):
          forged = "aistack_" + "0" * 12 + "_" + "a" * 43
          t.assertEqual(status("/v1/collections", key=None), "401")
          t.assertEqual(status("/v1/collections", key=forged), "401")
          t.assertEqual(status("/mcp", "--json '{}'", key=forged), "401")

      with subtest("a body beyond the limit is refused by nginx"):
          machine.succeed("head -c 3000000 /dev/zero > /tmp/large")
          t.assertEqual(status("/v1/query", "--data-binary @/tmp/large"), "413")

      with subtest("MCP answers the official client"):
          arguments = json.dumps({"collection": "handbook", "query": question})
          out = machine.succeed(
              f"SSL_CERT_FILE={ca} ${lib.getExe' mcpClient "python3"} "
              f"${./lib/mcp_client.py} {base}/mcp /root/key search {shlex.quote(arguments)}"
          )
          t.assertIn("Rebuild the index", out)

      with subtest("a reboot keeps everything, and makes no second admin key or certificate"):
          certificate = machine.succeed(f"sha256sum {ca}")
          machine.reboot()
          up()
          t.assertEqual(machine.succeed(f"sha256sum {ca}"), certificate)
          t.assertEqual(ask()["hits"], page["hits"])
          machine.fail("test -e /var/lib/aistack-secrets/admin-key")
          again = json.loads(machine.succeed("aistack keys list --json"))
          t.assertEqual({k["name"]: k["id"] for k in again}, keys)

      with subtest("the index is rebuilt from PostgreSQL"):
          machine.succeed("systemctl stop qdrant.service")
          machine.succeed("rm -r /var/lib/private/qdrant/*")
          machine.succeed("systemctl start qdrant.service")
          machine.wait_for_open_port(${toString nodes.machine.services.qdrant.settings.service.http_port})
          machine.succeed("aistack reindex >&2")
          again = ask()
          t.assertEqual(again["total"], page["total"])
          t.assertEqual(again["hits"][0]["chunk_id"], page["hits"][0]["chunk_id"])

      with subtest("the target stops and starts all of it"):
          machine.succeed("systemctl stop aistack.target")
          machine.fail("systemctl is-active aistack-aidb.service")
          machine.succeed("systemctl start aistack.target")
          machine.wait_for_unit("aistack-aidb.service")
          t.assertEqual(len(ask()["hits"]), len(page["hits"]))
    '';
}
