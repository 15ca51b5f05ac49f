#!/bin/sh
# A stand-in for docker with one running container, in which irissession is.
case $1 in
  ps) printf 'box\tintersystems/iris:2024.1\nweb\tnginx\n' ;;
  inspect) cat @STATE@/mounts ;;
  exec)
    shift 2
    if [ "$1" = iris ]; then cat @STATE@/listed-in-box; else exec "$@"; fi ;;
esac
