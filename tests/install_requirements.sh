#!/bin/sh
# Install what the tests need beside Python packages, from Debian where we may: ZooKeeper, Mosquitto, a directory (LDAP), Node.js; and
# what needs these: python-ldap, and mqtt.js into tests/.cache. The argument is the Python to install for.
set -eu
python=${1:-python3}
missing=""
[ -e /usr/share/java/zookeeper.jar ] && command -v java >/dev/null || missing="$missing zookeeper"
[ -x /usr/sbin/mosquitto ] || missing="$missing mosquitto"
command -v mosquitto_rr >/dev/null || missing="$missing mosquitto-clients"
[ -x /usr/sbin/slapd ] || missing="$missing slapd"
if ! "$python" -c 'import ldap' 2>/dev/null; then # it is built here
  command -v gcc >/dev/null || missing="$missing gcc"
  headers=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
  [ -e "$headers/Python.h" ] || missing="$missing python3-dev"
  [ -e /usr/include/ldap.h ] || missing="$missing libldap2-dev"
  [ -e /usr/include/sasl/sasl.h ] || missing="$missing libsasl2-dev"
fi
command -v node >/dev/null || missing="$missing nodejs"
command -v npm >/dev/null || missing="$missing npm"

install_debian() {
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
}

[ -z "$missing" ] || install_debian
if ! "$python" -c 'import ldap' 2>/dev/null; then
  echo "installing python-ldap ..."
  "$python" -m pip install --quiet --disable-pip-version-check 'python-ldap>=3.4'
fi
cache=$(dirname "$0")/.cache
if [ ! -d "$cache/node_modules/mqtt" ]; then
  echo "installing mqtt.js ..."
  mkdir -p "$cache"
  npm install --silent --no-audit --no-fund --prefix "$cache" mqtt@5
fi
