#!/usr/bin/env bash
# Walks through the HTTP API with curl and python3-msgpack: create, presign, PUT, index, push a slim
# pack, push one that is refused, read, delete.
#   scripts/walk.sh http://127.0.0.1:8080 OWNER [TOKEN]      (start serve --worker first)
set -euo pipefail
base=${1:?the server\'s URL} owner=${2:?the owner} token=${3:-}
name="walk-$(date +%s)"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
auth=()
[ -z "$token" ] || auth=(-H "Authorization: Bearer $token")
field() { python3 -c 'import json,sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
call() { curl -sS --fail-with-body "${auth[@]}" "$@"; }
json=(-H "Content-Type: application/json")

# A pack of two objects, named by its own SHA-256.
python3 - "$dir" <<'PY'
import hashlib, msgpack, sys
folder = sys.argv[1]
key = lambda data: "sha256:" + hashlib.sha256(data).hexdigest()
contents = [b"hello, pack\n", b""]
ids = [key(content) for content in contents]
bare = lambda name: name.removeprefix("sha256:")
def snapshot(manifest):  # its id: paths and bare ids, sorted, joined by NUL
    entries = sorted(f"{path}\0{bare(name)}" for path, name in manifest.items())
    return {"snapshot_id": key("\0".join(entries).encode()), "manifest": manifest}
first, message, time = snapshot({"a.txt": ids[0], "empty": ids[1]}), "one", "2026-11-27T10:15:37+00:00"
commit_id = key("\0".join(["", bare(first["snapshot_id"]), message, time]).encode())
pack = msgpack.packb({
    "commits": [{"commit_id": commit_id, "snapshot_id": first["snapshot_id"], "message": message,
                 "committed_at": time, "parent_commit_id": None}],
    "snapshots": [first],
    "objects": [{"object_id": i, "content": c} for i, c in zip(ids, contents)],
}, use_bin_type=True)
open(f"{folder}/pack", "wb").write(pack)
open(f"{folder}/key", "w").write(key(pack))
size, name = len(pack), key(pack)
open(f"{folder}/presign", "wb").write(msgpack.packb({"mpack_key": name, "size_bytes": size}))
open(f"{folder}/ids", "w").write("\n".join(ids) + "\n")
# Slim: names objects that the repo has and brings none. Ghostly: also names an unknown id.
for kind, named in {"slim": ids, "ghostly": [*ids, "sha256:" + "9" * 64]}.items():
    manifest = {f"path/{i}": name for i, name in enumerate(named)}
    data = msgpack.packb({"snapshots": [snapshot(manifest)], "objects": []})
    open(f"{folder}/{kind}", "wb").write(data)
    open(f"{folder}/{kind}.key", "w").write(key(data))
PY
key=$(cat "$dir/key") id=$(head -n 1 "$dir/ids")

echo "create"
repo=$(call "${json[@]}" "$base/api/repos" -d "{\"owner\":\"$owner\",\"name\":\"$name\"}" | field repoId)

echo "presign (MessagePack)"
call -H "Content-Type: application/x-msgpack" -H "Accept: application/x-msgpack" -o "$dir/answer" \
  --data-binary "@$dir/presign" "$base/$owner/$name/push/mpack-presign"
# Line 1: the URL; then one header a line.
python3 - "$dir/answer" > "$dir/upload" <<'PY'
import msgpack, sys
answer = msgpack.unpackb(open(sys.argv[1], "rb").read())
print(answer["upload_url"])
for name, value in answer["headers"].items():
    if name.lower() != "content-length":  # curl sends it by itself
        print(f"{name}: {value}")
PY

echo "PUT"
headers=()
while read -r line; do headers+=(-H "$line"); done < <(tail -n +2 "$dir/upload")
curl -sS --fail-with-body "${headers[@]}" -T "$dir/pack" "$(head -n 1 "$dir/upload")"

echo "index"
call "${json[@]}" "$base/$owner/$name/push/unpack-mpack" -d "{\"mpack_key\":\"$key\"}"
echo

echo "filter: nothing is missing"
call "${json[@]}" "$base/$owner/$name/filter-objects" -d "{\"object_ids\":[\"$id\"]}"
echo

stream() { # FILE KEY
  curl -sS -w '%{stderr}%{http_code}' "${auth[@]}" -H "X-Mpack-Key: $2" \
    -H "Content-Type: application/octet-stream" --data-binary "@$1" \
    "$base/$owner/$name/push/stream" 2> "$dir/status"
}
echo "push a slim pack in one request"
stream "$dir/slim" "$(cat "$dir/slim.key")" | field objects_total
[ "$(cat "$dir/status")" = 200 ]

echo "push one that names an unknown id: refused"
stream "$dir/ghostly" "$(cat "$dir/ghostly.key")" | field missing
[ "$(cat "$dir/status")" = 409 ]

echo "read every object, and check it against its id"
while read -r id; do
  call -o "$dir/object" "$base/$owner/$name/objects/$id"
  [ "sha256:$(sha256sum < "$dir/object" | cut -d ' ' -f 1)" = "$id" ]
  echo "$id: $(wc -c < "$dir/object") bytes"
done < "$dir/ids"

echo "delete"
call -X DELETE "$base/api/repos/$repo"
echo "done"
