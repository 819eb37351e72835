# plugin.sh - dispatch the phases of DevStack: source plugin.sh MODE [PHASE]
# shellcheck shell=bash

_GPU_PASSTHROUGH_XTRACE=$(set +o | grep xtrace)
set +o xtrace

GPU_PASSTHROUGH_PLUGIN=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=devstack/lib/gpu_passthrough
source "$GPU_PASSTHROUGH_PLUGIN/lib/gpu_passthrough"

if is_service_enabled nova; then
    case "$1 ${2:-}" in
        "stack pre-install")
            check_gpu_passthrough_settings
            stop_gpu_passthrough_leftovers
            ;;
        "stack install")
            echo_summary "Installing nova-gpu-passthrough"
            install_gpu_passthrough
            ;;
        "stack post-config")
            echo_summary "Configuring GPU passthrough"
            configure_gpu_passthrough
            ;;
        "stack extra")
            echo_summary "Creating GPU flavors, aggregates, traits and quotas"
            init_gpu_passthrough
            ;;
        "stack test-config")
            configure_gpu_passthrough_test
            ;;
        "unstack ")
            stop_gpu_passthrough
            ;;
        "clean ")
            cleanup_gpu_passthrough
            ;;
    esac
fi

$_GPU_PASSTHROUGH_XTRACE
