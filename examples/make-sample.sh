#!/bin/sh
# Makes the sample image: an OCI layout of three layers (gzip, zstd, plain) with a whiteout, an opaque
# directory, a hard link, a symlink and extended attributes.
# usage: make-sample.sh DIR        (needs GNU tar, gzip, zstd; no root; same bytes every time)
set -eu
umask 022
layout=${1:?usage: make-sample.sh DIR}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$layout"
mkdir -p "$layout/blobs/sha256"

# pack TREE PATH… [TAR-OPTION…]: appends PATHs of TREE to TREE.tar, of root, dated to the nanosecond.
pack() {
    tree=$1
    shift
    tar --append --file="$tree.tar" --directory="$tree" --format=posix --no-recursion \
        --owner=root:0 --group=root:0 --mtime='2024-01-01 00:00:00.123456789Z' --sort=name \
        --pax-option='delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f' "$@"
}
# blob FILE: stores FILE under its digest; prints "DIGEST SIZE".
blob() {
    hex=$(sha256sum "$1" | cut -d' ' -f1)
    cp "$1" "$layout/blobs/sha256/$hex"
    echo "sha256:$hex $(wc -c <"$1")"
}
# descriptor MEDIA-TYPE "DIGEST SIZE"
descriptor() {
    echo "{\"mediaType\":\"$1\",\"digest\":\"${2% *}\",\"size\":${2#* }}"
}

# Layer 1: a base system in miniature.
base=$work/base
mkdir -p "$base/bin" "$base/etc" "$base/usr/lib" "$base/var/cache/apt/archives" "$base/tmp"
printf '#!/bin/sh\necho "hello from banger"\n' >"$base/bin/hello"
chmod 755 "$base/bin/hello"
ln "$base/bin/hello" "$base/bin/greet"
printf 'ping\n' >"$base/bin/ping"
chmod 755 "$base/bin/ping"
printf 'NAME="banger sample"\nVERSION_ID=1\n' >"$base/usr/lib/os-release"
ln -s ../usr/lib/os-release "$base/etc/os-release"
printf 'This greeting is from layer 1.\n' >"$base/etc/motd"
printf 'secret\n' >"$base/etc/password.draft"
printf 'package one\n' >"$base/var/cache/apt/archives/one.deb"
printf 'package two\n' >"$base/var/cache/apt/archives/two.deb"
chmod 1777 "$base/tmp"
pack "$base" bin etc usr usr/lib usr/lib/os-release etc/os-release etc/motd etc/password.draft tmp \
    var var/cache var/cache/apt var/cache/apt/archives \
    var/cache/apt/archives/one.deb var/cache/apt/archives/two.deb bin/hello bin/greet
pack "$base" bin/ping --pax-option='SCHILY.xattr.user.origin:=layer one'

# Layer 2: removes a file (whiteout), empties a directory (opaque marker) and fills it anew.
edit=$work/edit
mkdir -p "$edit/etc" "$edit/var/cache/apt"
printf 'This greeting is from layer 2.\n' >"$edit/etc/motd"
: >"$edit/etc/.wh.password.draft"
: >"$edit/var/cache/apt/.wh..wh..opq"
printf 'index\n' >"$edit/var/cache/apt/pkgcache.bin"
pack "$edit" etc etc/.wh.password.draft var/cache/apt var/cache/apt/pkgcache.bin \
    var/cache/apt/.wh..wh..opq
pack "$edit" etc/motd --pax-option='SCHILY.xattr.user.reviewed:=yes'

# Layer 3: an application of its own user, with a name that is not ASCII.
app=$work/app
mkdir -p "$app/srv/app"
head -c 40000 /dev/zero | tr '\0' 'x' >"$app/srv/app/data.bin"
printf 'caf\303\251\n' >"$app/srv/app/$(printf 'caf\303\251.txt')"
pack "$app" srv
pack "$app" srv/app srv/app/data.bin "srv/app/$(printf 'caf\303\251.txt')" \
    --owner=app:1000 --group=app:1000

gzip -9n <"$base.tar" >"$base.tar.gz"
zstd -q -19 --no-check <"$edit.tar" >"$edit.tar.zst"
layer1=$(descriptor application/vnd.oci.image.layer.v1.tar+gzip "$(blob "$base.tar.gz")")
layer2=$(descriptor application/vnd.oci.image.layer.v1.tar+zstd "$(blob "$edit.tar.zst")")
layer3=$(descriptor application/vnd.oci.image.layer.v1.tar "$(blob "$app.tar")")
diff_ids=$(for tar in "$base.tar" "$edit.tar" "$app.tar"; do
    printf ',"sha256:%s"' "$(sha256sum "$tar" | cut -d' ' -f1)"
done)
cat >"$work/config.json" <<END
{"created":"2024-01-01T00:00:00Z","architecture":"amd64","os":"linux","config":{"Cmd":["/bin/hello"],"User":"1000:1000","WorkingDir":"/srv/app"},"rootfs":{"type":"layers","diff_ids":[${diff_ids#,}]}}
END
config=$(descriptor application/vnd.oci.image.config.v1+json "$(blob "$work/config.json")")
cat >"$work/manifest.json" <<END
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":$config,"layers":[$layer1,$layer2,$layer3]}
END
manifest=$(descriptor application/vnd.oci.image.manifest.v1+json "$(blob "$work/manifest.json")")
printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
cat >"$layout/index.json" <<END
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[${manifest%\}},"annotations":{"org.opencontainers.image.ref.name":"latest"},"platform":{"architecture":"amd64","os":"linux"}}]}
END
