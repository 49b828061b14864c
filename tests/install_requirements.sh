#!/bin/sh
# Install what the tests need beside Python packages: ZooKeeper and Mosquitto from Debian, where we may.
set -eu
missing=""
[ -e /usr/share/java/zookeeper.jar ] && command -v java >/dev/null || missing="$missing zookeeper"
[ -x /usr/sbin/mosquitto ] || missing="$missing mosquitto"
command -v mosquitto_rr >/dev/null || missing="$missing mosquitto-clients"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "The tests need these Debian packages:$missing"
  echo "Install them, for example with: sudo apt-get install$missing"
  exit 1
fi
echo "installing$missing ..."
# No service is to be started by the installation: the tests start their own, on ports of their own.
policy=/usr/sbin/policy-rc.d
[ -e "$policy" ] && made="" || { printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"; made=1; }
trap '[ -z "$made" ] || rm -f "$policy"' EXIT
log=$(mktemp)
if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing; } >"$log" 2>&1; then
  cat "$log"
  echo "Installing$missing failed; see above."
  exit 1
fi
