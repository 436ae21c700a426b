#!/bin/sh
# Usage: node.sh FOLDER NAME ADDRESS [PATH].. A node in the network of controller.sh, until killed.
# It has a /tmp of its own, in which only the PATHs are those of all nodes.
set -eu
if [ "${INSIDE:-}" = "" ]; then
  echo $$ >"$1/$2.pid"
  INSIDE=network exec unshare --net "$0" "$@"
fi
folder=$1 name=$2 address=$3
if [ "$INSIDE" = network ]; then
  # open connections can keep that of a killed node for minutes
  nsenter --target 1 --net ip link delete "$name" 2>/dev/null || :
  ip link add eth0 type veth peer name "$name" netns 1
  nsenter --target 1 --net ip link set "$name" master bridge up
  ip addr add "$address/24" dev eth0
  ip link set eth0 up
  ip link set lo up
  INSIDE=all exec unshare --mount --uts --pid --fork --kill-child --mount-proc "$0" "$@"
fi
shift 3
hostname "$name"
mount -t tmpfs own "$folder/mnt"
for shared; do
  mkdir -p "$folder/mnt${shared#/tmp}"
  mount --rbind "$shared" "$folder/mnt${shared#/tmp}"
done
mount --move "$folder/mnt" /tmp
unset INSIDE
slurmd -D -N "$name" -f "$folder/slurm.conf" &
wait
