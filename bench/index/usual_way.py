"""The usual way to index a pack: load it, hash it, unpack it, insert by the thousand.

usual_way.py PACK DATABASE_URL REPO_ID prints what it did as JSON. Needs python3-msgpack and
python3-psycopg2.
"""

import hashlib
import json
import sys

import msgpack
import psycopg2
from psycopg2.extras import execute_values

PAGE = 1000


def main(path, url, repo_id):
    with open(path, "rb") as file:
        data = file.read()
    key = "sha256:" + hashlib.sha256(data).hexdigest()
    if not path.endswith(key):
        raise SystemExit(f"{path} has the key {key}")
    objects = msgpack.unpackb(data, strict_map_key=False)["objects"]
    uri = "mpack://" + key
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        for at in range(0, len(objects), PAGE):
            page = [(o["object_id"], len(o["content"])) for o in objects[at : at + PAGE]]
            execute_values(
                cursor,
                "insert into musehub_objects (object_id, storage_uri, size_bytes) values %s"
                " on conflict do nothing",
                [(object_id, uri, size) for object_id, size in page],
                page_size=PAGE,
            )
            execute_values(
                cursor,
                "insert into musehub_object_refs (repo_id, object_id, size_bytes) values %s"
                " on conflict do nothing",
                [(repo_id, object_id, size) for object_id, size in page],
                page_size=PAGE,
            )
    print(json.dumps({"objects": len(objects), "peak_bytes": peak_bytes()}))


def peak_bytes():
    """The kernel's high-water mark; ru_maxrss would count the process that started this one."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


main(*sys.argv[1:])
