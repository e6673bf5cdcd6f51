"""nginx with TLS in front of all servers: what the NixOS module writes, on ports of the run's own.

Left out is what Debian's nginx does not know (`http2 on`, the post-quantum group of TLS) and what
no request of the run meets: error pages and the coordinator's paths.
"""

import datetime
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "kb.example.org"
RIVAL_MCP = "/mcp/"
"""Where mcp-server-qdrant answers: it redirects from /mcp."""

_HTTP = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{
}}
http {{
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  access_log {folder}/nginx-access.log;
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305;
  ssl_session_timeout 1d;
  ssl_session_cache shared:SSL:10m;
  ssl_session_tickets off;
  ssl_prefer_server_ciphers off;
  server_tokens off;
  map $remote_addr $aistack_client {{
    "~^(?<net>[0-9a-f]+:[0-9a-f]+:[0-9a-f]+:[0-9a-f]+):" $net;
    "~^(?<net>[0-9a-f:]+?)::" $net;
    default $binary_remote_addr;
  }}
  limit_req_zone $aistack_client zone=aistack_requests:4m rate={per_address}r/m;
  limit_conn_zone $aistack_client zone=aistack_connections:4m;
  client_header_timeout 10s;
"""

_SERVER = """\
  upstream {name} {{
    server 127.0.0.1:{to};
    keepalive 32;
  }}
  server {{
    listen 127.0.0.1:{port} ssl;
    server_name {host};
    ssl_certificate {folder}/certificate.pem;
    ssl_certificate_key {folder}/key.pem;
    location / {{
      {proxy}
    }}
    location = {mcp} {{
      {proxy}
      proxy_buffering off;
      proxy_read_timeout 300s;
    }}
    client_max_body_size 5242880;
    client_body_timeout 10s;
    send_timeout 30s;
    limit_conn aistack_connections 100;
    limit_conn_status 429;
    limit_req_status 429;
    {limit}
  }}
"""

_PROXY = """\
proxy_pass http://{name};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Request-Id $request_id;
      proxy_set_header Host $host;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $host;
      proxy_set_header X-Forwarded-Server $hostname;"""


def write_config(
    folder: Path, servers: dict[str, tuple[int, int]], limited: str, per_address: int
) -> Path:
    """The configuration: servers by name as (own port, port behind it), one of them limited."""
    text = _HTTP.format(folder=folder, per_address=per_address)
    limit = f"limit_req zone=aistack_requests burst={per_address} nodelay;"
    for name, (port, to) in servers.items():
        text += _SERVER.format(
            name=name,
            port=port,
            to=to,
            host=NAME,
            folder=folder,
            mcp=RIVAL_MCP if name == "rival" else "/mcp",
            proxy=_PROXY.format(name=name),
            limit=limit if name == limited else "",
        )
    path = folder / "nginx.conf"
    path.write_text(text + "}\n", "utf-8")
    return path


def write_certificate(folder: Path) -> ssl.SSLContext:
    """Write a certificate and its key; returns what trusts it and nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "certificate.pem").write_bytes(pem)
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return ssl.create_default_context(cadata=pem.decode())
