# Stand-ins for the functions of DevStack that the plug-in calls (functions, functions-common,
# inc/ini-config, inc/meta-config, inc/python and lib/nova). Functions that change files in DevStack
# do so here; the others are recorded in $CALLS.
# shellcheck shell=bash disable=SC2034,SC2154

function _record {
    echo "$*" >> "$CALLS"
}

# Rewrite a file as inc/ini-config does: _ini verb file section option [value]
function _ini {
    local verb=$1 file=$2 section=$3 option=$4 value=${5:-} line inside="" found="" lines=() out=()
    [[ -r $file ]] && mapfile -t lines < "$file"
    for line in "${lines[@]}" "[]"; do
        if [[ "$line" == "["* ]]; then
            if [[ -n "$inside" && "$verb" != delete ]]; then
                out+=("$option = $value")
                found=yes
            fi
            inside=""
            [[ "$line" == "[$section]" ]] && inside=yes
        elif [[ -n "$inside" && "$verb" != add && "${line%%[ =]*}" == "$option" ]]; then
            continue
        fi
        [[ "$line" == "[]" ]] || out+=("$line")
    done
    [[ -z "$found" && "$verb" != delete ]] && out+=("[$section]" "$option = $value")
    printf '%s\n' "${out[@]}" > "$file"
}

function iniget {
    local file=$1 section=$2 option=$3 line inside="" value=""
    while IFS= read -r line; do
        [[ "$line" == "["* ]] && inside=""
        [[ "$line" == "[$section]" ]] && inside=yes
        [[ -n "$inside" && "${line%%[ =]*}" == "$option" ]] && value=${line#*=}
    done < "$file"
    echo "${value# }"
}

function get_meta_section {
    local file=$1 group=$2 name=$3 line inside=""
    while IFS= read -r line; do
        if [[ "$line" == "[["* ]]; then
            inside=""
            [[ "$line" == "[[$group|$name]]" ]] && inside=yes
        elif [[ -n "$inside" ]]; then
            echo "$line"
        fi
    done < "$file"
}

function define_plugin { _record "define_plugin $*"; }
function echo_summary { _record "echo_summary $*"; }
function get_python_exec_prefix { echo "$BIN"; }
function conductor_conf { echo "$NOVA_CONF_DIR/nova_cell$1.conf"; }
function pip_install { _record "pip_install $*"; }
function pip_uninstall { _record "pip_uninstall $*"; }
function setup_develop { _record "setup_develop $*"; }
function inidelete { _ini delete "$@"; }
function iniset { _ini set "$@"; }

# End the shell, as in stack.sh.
function die {
    local line=$1
    shift
    _record "die $*"
    echo "[ERROR] line $line: $*" >&2
    exit 1
}

function trueorfalse {
    local default=$1 value=${!2:-}
    case "${value,,}" in
        1 | yes | true | enabled) echo True ;;
        0 | no | false | disabled) echo False ;;
        *) echo "$default" ;;
    esac
}

function is_service_enabled {
    local service
    for service in "$@"; do
        [[ ",$ENABLED_SERVICES," == *",$service,"* ]] && return 0
        [[ "$service" == nova && ",$ENABLED_SERVICES" == *,n-* ]] && return 0
        [[ "$service" == placement && ",$ENABLED_SERVICES" == *,placement-api* ]] && return 0
    done
    return 1
}

function test_with_retry {
    _record "test_with_retry $1"
    sh -c "$1" || die $LINENO "$2"
}

# As in DevStack, read and eval expand values within double quotes, and a repeated option replaces
# all values.
function merge_config_group {
    local fragment=$1 group=$2 line file="" section="" key value
    local -A seen=()
    while IFS= read -r line; do
        case "$line" in
            "[["*)
                line=${line#"[[$group|"}
                file=$(eval echo "${line%"]]"}")
                ;;
            "["*) section=${line//[][]/} ;;
            "" | "#"*) ;;
            *)
                key=${line%%=*}
                key=${key%% *}
                value=${line#*=}
                value=${value# }
                # shellcheck disable=SC2162
                read value <<< "\"$value\""
                eval "value=$value"
                if [[ -z "${seen[$section/$key]:-}" ]]; then
                    inidelete "$file" "$section" "$key"
                fi
                seen[$section/$key]=yes
                _ini add "$file" "$section" "$key" "$value"
                ;;
        esac
    done < "$fragment"
}

function hostname { echo devstack; }
function sudo { "$@"; }
