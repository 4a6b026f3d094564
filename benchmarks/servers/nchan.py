"""nginx with Debian's module nchan, one worker: ``python -m benchmarks.servers.nchan PORT``."""

import os
import sys
from pathlib import Path

CONFIG = """\
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
error_log stderr error;
pid {folder}/nginx.pid;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    client_body_temp_path {folder};
    keepalive_requests 10000000;
    nchan_max_reserved_memory 256M;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location ~ ^/jobs/(\\d+)$ {{
            nchan_subscriber eventsource;
            nchan_channel_id job-$1;
            nchan_eventsource_ping_interval {heartbeat};
        }}
        location ~ ^/publish/(\\d+)$ {{
            nchan_publisher http;
            nchan_channel_id job-$1;
            nchan_message_buffer_length 256;
        }}
    }}
}}
"""

if __name__ == "__main__":
    folder = Path(os.environ["SCRATCH"])
    text = CONFIG.format(
        port=sys.argv[1],
        folder=folder,
        files=os.environ["FILES"],
        # nginx stops to accept when a sixteenth of them is left.
        connections=int(os.environ["FILES"]) * 5 // 4,
        heartbeat=round(float(os.environ["HEARTBEAT"])),
    )
    config = folder / "nginx.conf"
    config.write_text(text)
    os.execvp("nginx", ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(config)])
