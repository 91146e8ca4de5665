#!/usr/bin/env bash
# Script action for the head nodes of an HDInsight Kafka cluster: brokers advertise addresses instead of host names,
# which a peered network cannot resolve. Runs any number of times; only the first changes and restarts anything.
#
#   advertise_addresses.sh            change Ambari's configuration, and restart Kafka
#   advertise_addresses.sh fragment   print what is appended to kafka-env (for a look, and for tests)
#
# AMBARI_URL and AMBARI_NETRC (a netrc file with the login) replace what is found on the node.
# https://learn.microsoft.com/azure/hdinsight/kafka/apache-kafka-connect-vpn-gateway#configure-kafka-for-ip-advertising
set -euo pipefail

MARK='# millrace: brokers advertise their addresses'

# Runs on each broker whenever Ambari starts it, after Ambari wrote server.properties anew. Ambari renders this with
# Jinja: no double braces, no brace beside a percent or number sign.
fragment() {
  cat <<EOF
$MARK
MILLRACE_PROPERTIES="\$(readlink -f "\${KAFKA_PROPERTIES:-/usr/hdp/current/kafka-broker/conf/server.properties}")"
MILLRACE_ADDRESS="\$(hostname -I | cut -d ' ' -f 1)"
MILLRACE_LISTENERS="\$(sed -n 's/^listeners=//p' "\$MILLRACE_PROPERTIES" | sed "s#//[^:]*:#//\$MILLRACE_ADDRESS:#g")"
sed -i '/^advertised\.listeners=/d' "\$MILLRACE_PROPERTIES"
echo "advertised.listeners=\$MILLRACE_LISTENERS" >> "\$MILLRACE_PROPERTIES"
EOF
}

if [ "${1:-}" = fragment ]; then
  fragment
  exit
fi

url="${AMBARI_URL:-http://headnodehost:8080}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
chmod 700 "$work"

# Both head nodes get the script; the active one acts.
if [ -z "${AMBARI_URL:-}" ] && ! hostname -I | grep -qwF "$(getent hosts headnodehost | cut -d ' ' -f 1)"; then
  echo "Not the active head node: nothing to do here"
  exit
fi

# The login that HDInsight keeps on its nodes for itself goes into a file: arguments are readable by everyone.
if [ -z "${AMBARI_NETRC:-}" ]; then
  AMBARI_NETRC="$work/netrc"
  (umask 077 && python3 - > "$AMBARI_NETRC" <<'PYTHON'
import base64
from hdinsight_common import ClusterManifestParser, Constants
user = Constants.AMBARI_WATCHDOG_USERNAME
secret = ClusterManifestParser.parse_local_manifest().ambari_users.usersmap[user].password
print("machine headnodehost login {} password {}".format(user, base64.b64decode(secret).decode()))
PYTHON
  )
fi

ambari() { # method path [file with the body]
  curl --silent --show-error --fail --netrc-file "$AMBARI_NETRC" --header 'X-Requested-By: ambari' \
    --request "$1" ${3:+--data "@$3"} "$url/api/v1/clusters$2"
}

field() { # a Python expression of `d`, the JSON on standard input
  python3 -c 'import json, sys; d = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"
}

cluster="$(ambari GET '' | field 'd["items"][0]["Clusters"]["cluster_name"]')"

# Ambari takes a configuration as a whole, under a new tag: what is there now, with one property changed.
# Fails with code 3 where nothing changes.
changed() { # type edit
  local tag
  tag="$(ambari GET "/$cluster?fields=Clusters/desired_configs" | field "d['Clusters']['desired_configs']['$1']['tag']")"
  ambari GET "/$cluster/configurations?type=$1&tag=$tag" > "$work/old.json"
  fragment > "$work/fragment"
  python3 - "$1" "$work" <<'PYTHON'
import json, sys, time
kind, work = sys.argv[1:]
old = json.load(open(work + "/old.json"))["items"][0]
new = dict(old["properties"])
if kind == "kafka-env":
    fragment = open(work + "/fragment").read()
    if fragment.splitlines()[0] not in new["content"]:
        new["content"] = new["content"].rstrip("\n") + "\n" + fragment
else:
    ports = [part.rpartition(":")[::2] for part in new["listeners"].split(",")]
    new["listeners"] = ",".join("{}://0.0.0.0:{}".format(place.split("://")[0].strip(), port) for place, port in ports)
if new == old["properties"]:
    sys.exit(3)
config = {"type": kind, "tag": "millrace-%d" % time.time_ns(), "properties": new}
if "properties_attributes" in old:
    config["properties_attributes"] = old["properties_attributes"]
json.dump({"Clusters": {"desired_config": config}}, open(work + "/new.json", "w"))
PYTHON
}

configure() { # type
  local code=0
  changed "$1" || code=$?
  case $code in
    0) ambari PUT "/$cluster" "$work/new.json" > /dev/null && echo "$1: changed" ;;
    3) echo "$1: as it should be" ;;
    *) exit "$code" ;;
  esac
}

# Ambari answers with a request to watch, or with nothing where the service is in that state already.
kafka() { # state
  printf '{"RequestInfo": {"context": "millrace: Kafka %s"}, "Body": {"ServiceInfo": {"state": "%s"}}}' "$1" "$1" > "$work/state.json"
  local answer request status
  answer="$(ambari PUT "/$cluster/services/KAFKA" "$work/state.json")"
  [ -n "$answer" ] || return 0
  request="$(field 'd["Requests"]["id"]' <<< "$answer")"
  for _ in $(seq 180); do
    status="$(ambari GET "/$cluster/requests/$request" | field 'd["Requests"]["request_status"]')"
    case $status in
      COMPLETED) return 0 ;;
      FAILED | ABORTED | TIMEDOUT) echo "Kafka to $1: $status; see request $request in Ambari" >&2 && exit 1 ;;
    esac
    sleep "${POLL_S:-5}"
  done
  echo "Kafka to $1: still $status after 180 looks; see request $request in Ambari" >&2
  exit 1
}

configure kafka-broker
configure kafka-env

# Asked of Ambari rather than remembered: an earlier run may have ended between a change and the restart. A broker may be
# down under a service that is called started; starting that starts what is down, but for what is in maintenance.
ambari GET "/$cluster/host_components?HostRoles/component_name=KAFKA_BROKER&fields=HostRoles/state,HostRoles/stale_configs" \
  > "$work/brokers.json"
brokers() { # a condition of `role`, a broker's HostRoles
  field "len([role for role in (one['HostRoles'] for one in d['items']) if $1])" < "$work/brokers.json"
}

stale="$(brokers "role['stale_configs']")"
down="$(brokers "role['state'] != 'STARTED'")"
if [ "$stale" -gt 0 ]; then kafka INSTALLED; fi
if [ "$stale" -gt 0 ] || [ "$down" -gt 0 ]; then kafka STARTED; fi
