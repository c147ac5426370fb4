"""The job http-hello on nginx: `return 200`, in one process without a master."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bench.servers.common import BACKLOG, HELLO, KEPT, Job, jobsOf

CONFIGURATION = """\
daemon off;
master_process off;
error_log stderr crit;
pid {name}.pid;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    default_type text/plain;
    keepalive_timeout {kept}s;
    keepalive_requests 1000000000;
    client_body_temp_path .;
    proxy_temp_path .;
    fastcgi_temp_path .;
    uwsgi_temp_path .;
    scgi_temp_path .;
{servers}}}
"""
SERVER = '    server {{ listen 127.0.0.1:{port} backlog={backlog}; location / {{ return 200 "{body}"; }} }}\n'


def configurationOf(jobs: list[Job]) -> str:
    servers = "".join(SERVER.format(port=job.port, backlog=BACKLOG, body=HELLO.decode()) for job in jobs)
    return CONFIGURATION.format(name=jobs[0].port, kept=KEPT, servers=servers)


def main() -> None:
    folder = Path(os.environ["BENCH_FOLDER"])
    jobs = jobsOf(sys.argv[1:])
    path = folder / f"{jobs[0].port}.conf"
    path.write_text(configurationOf(jobs))
    os.execvp("nginx", ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(path)])


if __name__ == "__main__":
    main()
