# SPDX-License-Identifier: Apache-2.0
# Completion of nova-gpu in bash. The associative array _nova_gpu_words has, for each command and
# for the program itself (nova-gpu), its options, each as OPTION=KIND, and its arguments, as @=KIND. KIND
# is what follows: nothing for an option without a value; file, dir, value (anything); :KIND for
# names that the program reads from the fleet file; or the values themselves, separated by "|".

# Set _nova_gpu_kind to the kind of an option or argument of a command; fail if it has none.
_nova_gpu_find_kind()
{
    local word
    for word in ${_nova_gpu_words[${1:-nova-gpu}]-} ${_nova_gpu_words[nova-gpu]}; do
        if [[ ${word%%=*} == "$2" ]]; then
            _nova_gpu_kind=${word#*=}
            return 0
        fi
    done
    return 1
}

# Complete a value of a kind.
_nova_gpu_complete_value()
{
    local program=$1 kind=$2 current=$3 fleet=$4
    case $kind in
        file)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            ;;
        dir)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -d -- "$current")
            ;;
        :*)
            local names
            names=$("$program" complete --names "${kind#:}" ${fleet:+--fleet "$fleet"} 2>/dev/null)
            mapfile -t COMPREPLY < <(compgen -W "$names" -- "$current")
            ;;
        value)
            ;;
        *)
            mapfile -t COMPREPLY < <(compgen -W "${kind//|/ }" -- "$current")
            ;;
    esac
}

_nova_gpu()
{
    local program=$1 command="" expected="" fleet="" current word name i _nova_gpu_kind=""
    local -a proposed=()
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ -n $expected ]]; then
            # bash makes "=" a word of its own.
            [[ $word == "=" ]] && continue
            [[ $expected == --fleet ]] && fleet=${word/#\~/$HOME}
            expected=""
        elif [[ $word == -* ]]; then
            if _nova_gpu_find_kind "$command" "$word" && [[ -n $_nova_gpu_kind ]]; then
                expected=$word
            fi
        else
            for name in "${!_nova_gpu_words[@]}"; do
                if [[ $name != nova-gpu && "$name " == "${command:+$command }$word "* ]]; then
                    command=${command:+$command }$word
                    break
                fi
            done
        fi
    done
    current=${COMP_WORDS[COMP_CWORD]}
    [[ $current == "=" ]] && current=""
    if [[ -n $expected ]]; then
        _nova_gpu_find_kind "$command" "$expected"
        _nova_gpu_complete_value "$program" "$_nova_gpu_kind" "$current" "$fleet"
    elif [[ $current == -* ]]; then
        for word in ${_nova_gpu_words[${command:-nova-gpu}]-} ${_nova_gpu_words[nova-gpu]}; do
            [[ $word == -* ]] && proposed+=("${word%%=*}")
        done
        mapfile -t COMPREPLY < <(compgen -W "${proposed[*]}" -- "$current")
    elif [[ -n $command && -n ${_nova_gpu_words[$command]-} ]]; then
        if _nova_gpu_find_kind "$command" @; then
            _nova_gpu_complete_value "$program" "$_nova_gpu_kind" "$current" "$fleet"
        fi
    else
        for name in "${!_nova_gpu_words[@]}"; do
            if [[ $name != nova-gpu && "$name " == "${command:+$command }"* ]]; then
                word=${name#"${command:+$command }"}
                proposed+=("${word%% *}")
            fi
        done
        mapfile -t COMPREPLY < <(compgen -W "${proposed[*]}" -- "$current" | sort -u)
    fi
}

complete -F _nova_gpu nova-gpu
