# The balancer before several instances of AIDB: HAProxy, because it asks each for /health/ready.
#
# A unit of its own, not services.haproxy: that one belongs to the host, its defaults would be ours
# too, and a change on either side would touch both.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  own = cfg.aidb;
  at = "services.aistack.aidb";
  hardening = import ../lib/hardening.nix { inherit lib; };

  file = "aistack/balancer.cfg";
  # Where the program is found by a reload: the running one starts itself anew, by this name.
  program = "/run/aistack-balancer/haproxy";
  link = "${pkgs.coreutils}/bin/ln -sf ${lib.getExe own.balancerPackage} ${program}";

  servers =
    map (instance: "server ${instance.name} 127.0.0.1:${toString instance.port}") own.processes
    ++ map (host: "server ${lib.replaceStrings [ "[" "]" ] [ "" "" ] host} ${host}") own.hosts;

  problem =
    status: kind: title: detail: more:
    "status ${toString status} content-type application/problem+json lf-string "
    + ''"{\"type\":\"urn:aistack:problem:${kind}\",\"title\":\"${title}\",\"status\":${toString status},\"detail\":\"${detail}\"}"''
    + more;
  unavailable =
    status:
    "http-error "
    +
      problem status "unavailable" "Not available now" "the service does not answer"
        " hdr Retry-After 2";

  text = ''
    global
      # It copies bytes; the work is done behind it.
      nbthread 1
      maxconn 4000
      # What a reload leaves behind may answer as long as any request takes.
      hard-stop-after 5m

    defaults
      mode http
      timeout connect 2s
      timeout http-request 10s
      # Longer than nginx keeps an idle connection: were it us who closed it, a request that is on
      # its way would be lost.
      timeout http-keep-alive 75s
      timeout client 300s
      timeout server 300s
      timeout check 750ms
      option forwardfor
      ${lib.concatMapStringsSep "\n  " unavailable [
        502
        503
        504
      ]}

    frontend aidb
      bind ${own.endpoint}
      # The numbers of whichever instance answered would be no numbers of anything.
      http-request return ${
        problem 404 "not-found" "Not found" "each instance tells its metrics at its own port" ""
      } if { path /metrics }
      default_backend aidb

    backend aidb
      # One that hangs has many requests open, so it gets no more.
      balance leastconn
      option httpchk
      http-check send meth GET uri /health/ready ver HTTP/1.1 hdr Host localhost
      http-check expect status 200
      # Two answers in a row take one out: after 4 s at most if it hangs, 2.5 s if it says so.
      default-server check inter 2s fastinter 500ms downinter 1s fall 2 rise 1 init-addr libc,none
      # A request that reached no instance goes to another one; one that an instance did not answer
      # only if it changes nothing.
      retries 3
      option redispatch 1
      retry-on conn-failure empty-response
      http-request disable-l7-retry if !{ method GET HEAD } !{ path /v1/query }
      ${lib.concatStringsSep "\n  " servers}

    frontend metrics
      bind 127.0.0.1:${toString own.instancesPort}
      http-request use-service prometheus-exporter if { path /metrics }
  '';

  written = pkgs.writeText "aistack-balancer.cfg" text;
  runs = pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform;
  checked =
    if runs then
      pkgs.runCommand "aistack-balancer.cfg" { } ''
        ${lib.getExe own.balancerPackage} -c -f ${written}
        cp ${written} $out
      ''
    else
      written;
in
{
  options.services.aistack.aidb = {
    hosts = lib.mkOption {
      type = lib.types.listOf (lib.types.strMatching "([A-Za-z0-9.-]+|\\[[0-9A-Fa-f:]+]):[0-9]+");
      default = [ ];
      example = [ "192.168.10.3:8091" ];
      description = ''
        Further machines' AIDB, as `address:port`, for the balancer of this host: each is sent requests
        while it says that it is ready. It is reached without TLS, so that network must be private.
        A name is looked up when the balancer starts, and its first address taken.
      '';
    };

    balancerPackage = lib.mkPackageOption pkgs "haproxy" { };
  };

  config = lib.mkIf (cfg.enable && own.balanced) {
    assertions = [
      {
        assertion = !lib.elem own.endpoint own.hosts;
        message = ''
          ${at}.hosts names ${own.endpoint}, which is this host's own balancer: requests would go in
          circles. Name the other machines only.
        '';
      }
    ];

    environment.etc.${file}.source = checked;

    systemd.services.aistack-balancer = {
      description = "balancer before the instances of AIDB";
      wantedBy = [ "aistack.target" ];
      partOf = [ "aistack.target" ];
      wants = lib.optional (!own.onLoopback || own.hosts != [ ]) "network-online.target";
      after = lib.optional (!own.onLoopback || own.hosts != [ ]) "network-online.target";
      # A new process takes the sockets over, and the old one answers what it has begun. That also
      # brings a new version; a changed sandbox comes with the next start.
      reloadIfChanged = true;
      restartTriggers = [ checked ];
      # Never given up: nothing answers without it.
      startLimitIntervalSec = 0;

      serviceConfig =
        hardening.sandbox [
          (if own.onLoopback && own.hosts == [ ] then hardening.relax.loopback else hardening.relax.network)
        ]
        // {
          Type = "notify";
          ExecStartPre = link;
          ExecStart = "${program} -Ws -f /etc/${file}";
          ExecReload = [
            link
            "${program} -c -q -f /etc/${file}"
            "${pkgs.coreutils}/bin/kill -USR2 $MAINPID"
          ];
          DynamicUser = true;
          RuntimeDirectory = "aistack-balancer";
          Slice = "aistack.slice";
          # Requests that have begun are answered.
          KillMode = "mixed";
          KillSignal = "SIGUSR1";
          SuccessExitStatus = 143;
          TimeoutStopSec = 30;
          Restart = "always";
          RestartSec = 1;
        };
    };
  };
}
