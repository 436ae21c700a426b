#!/bin/sh
# Usage: controller.sh FOLDER. The cluster's network, and its controller with munge, until killed.
# The first process of namespaces of its own: with it ends all that was started in them.
set -eu
folder=$1
hostname controller
mount --bind "$folder/hosts" /etc/hosts
ip link set lo up
ip link add bridge type bridge
ip addr add 10.77.0.254/24 dev bridge
ip link set bridge up
munged --foreground --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
  --pid-file="$folder/munge.pid" --log-file="$folder/munge.log" --seed-file="$folder/munge.seed" &
until [ -S "$folder/munge.socket" ]; do sleep 0.1; done
slurmctld -D -f "$folder/slurm.conf" &
wait
