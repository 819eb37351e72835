# SPDX-License-Identifier: Apache-2.0
"""Rules of Nova and Placement, restated without importing them.

Commands, checks and the simulator must predict what Nova decides, without its database and objects.
So some of its code is restated here and in other folders; `RESTATED` is the list.

When a new Nova release comes:

1. Add it to `nova_gpu_passthrough.fleet.releases` and to the test environments.
2. Run ``tests/unit/nova_rules/test_restated.py`` with it: it fails for an object that was moved,
   renamed or removed.
3. Compare every object of the list with that of the previous release (``git diff`` in Nova's
   repository), and restate what changed.
4. Run the tests whose names end with ``against_nova.py`` or ``agreement_with_nova.py``: they
   compare results with those of the installed Nova.
"""

#: The module of this package and the object that it restates, as ``module:qualified.name``.
RESTATED = (
    ("nova_gpu_passthrough.topology.model", "nova.objects.fields:PCINUMAAffinityPolicy"),
    (
        "nova_gpu_passthrough.topology.numa",
        "nova.pci.stats:PciDeviceStats._filter_pools_for_numa_cells",
    ),
    (
        "nova_gpu_passthrough.topology.numa",
        "nova.pci.stats:PciDeviceStats._filter_pools_for_socket_affinity",
    ),
    ("nova_gpu_passthrough.topology.numa", "nova.virt.hardware:_numa_fit_instance_cell"),
    (
        "nova_gpu_passthrough.topology.tags",
        "nova.pci.stats:PciDeviceStats._create_pool_keys_from_dev",
    ),
    (
        "nova_gpu_passthrough.nova_rules.alias_string",
        "nova.api.validation.extra_specs.pci_passthrough:EXTRA_SPEC_VALIDATORS",
    ),
    (
        "nova_gpu_passthrough.nova_rules.alias_string",
        "nova.pci.request:_translate_alias_to_requests",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.extra_spec_operators",
        "nova.scheduler.filters.extra_specs_ops:match",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.model",
        "nova.scheduler.filters.utils:aggregate_metadata_get_by_host",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.model",
        "nova.objects.request_spec:RequestSpec.get_scheduler_hint",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.aggregate_filters",
        "nova.scheduler.filters.aggregate_multitenancy_isolation:AggregateMultiTenancyIsolation.host_passes",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.aggregate_filters",
        "nova.scheduler.filters.aggregate_instance_extra_specs:AggregateInstanceExtraSpecsFilter.host_passes",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.aggregate_filters",
        "nova.scheduler.filters.aggregate_image_properties_isolation:AggregateImagePropertiesIsolation.host_passes",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.aggregate_filters",
        "nova.scheduler.filters.type_filter:AggregateTypeAffinityFilter.host_passes",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.image_filters",
        "nova.scheduler.filters.image_props_filter:ImagePropertiesFilter._instance_supported",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.image_filters",
        "nova.scheduler.filters.isolated_hosts_filter:IsolatedHostsFilter.host_passes",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.capability_filter",
        "nova.scheduler.filters.compute_capabilities_filter:ComputeCapabilitiesFilter._satisfies_extra_specs",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.capability_filter",
        "nova.scheduler.host_manager:HostState",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.server_filters",
        "nova.scheduler.filters.num_instances_filter:NumInstancesFilter.host_passes",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.server_filters",
        "nova.scheduler.filters.num_instances_filter:AggregateNumInstancesFilter._get_max_instances_per_host",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.server_filters",
        "nova.scheduler.filters.io_ops_filter:IoOpsFilter.host_passes",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.server_filters",
        "nova.scheduler.filters.io_ops_filter:AggregateIoOpsFilter._get_max_io_ops_per_host",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.server_filters",
        "nova.scheduler.filters.affinity_filter:ServerGroupAntiAffinityFilter.host_passes",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.server_filters",
        "nova.scheduler.filters.affinity_filter:ServerGroupAffinityFilter.host_passes",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.server_filters",
        "nova.scheduler.filters.affinity_filter:SameHostFilter.host_passes",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.server_filters",
        "nova.scheduler.filters.affinity_filter:DifferentHostFilter.host_passes",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.server_filters",
        "nova.scheduler.filters.affinity_filter:SimpleCIDRAffinityFilter.host_passes",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.request_filters",
        "nova.scheduler.request_filter:require_tenant_aggregate",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.request_filters",
        "nova.scheduler.request_filter:map_az_to_placement_aggregate",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.request_filters",
        "nova.scheduler.request_filter:isolate_aggregates",
    ),
    (
        "nova_gpu_passthrough.nova_rules.filters.request_filters",
        "nova.scheduler.request_filter:transform_image_metadata",
    ),
    ("nova_gpu_passthrough.nova_rules.host_selection", "nova.conf.scheduler:scheduler_group"),
    ("nova_gpu_passthrough.cloud.fit.filter_facts", "nova.compute.stats:Stats.io_workload"),
    ("nova_gpu_passthrough.nova_rules.guest_topology", "nova.virt.hardware:numa_get_constraints"),
    ("nova_gpu_passthrough.nova_rules.guest_topology", "nova.virt.hardware:parse_cpu_spec"),
    (
        "nova_gpu_passthrough.nova_rules.guest_topology",
        "nova.virt.hardware:get_realtime_cpu_constraint",
    ),
    (
        "nova_gpu_passthrough.nova_rules.guest_topology",
        "nova.virt.hardware:get_dedicated_cpu_constraint",
    ),
    ("nova_gpu_passthrough.nova_rules.guest_topology", "nova.virt.hardware:MEMPAGES_SMALL"),
    (
        "nova_gpu_passthrough.nova_rules.guest_topology",
        "nova.objects.image_meta:ImageMetaProps.NUMA_NODES_MAX",
    ),
    ("nova_gpu_passthrough.nova_rules.guest_fit", "nova.virt.hardware:numa_fit_instance_to_host"),
    ("nova_gpu_passthrough.nova_rules.guest_fit", "nova.virt.hardware:_numa_fit_instance_cell"),
    ("nova_gpu_passthrough.nova_rules.guest_fit", "nova.virt.hardware:_pack_instance_onto_cores"),
    ("nova_gpu_passthrough.nova_rules.host_cell", "nova.objects.numa:NUMACell"),
    ("nova_gpu_passthrough.nova_rules.host_cell", "nova.objects.numa:NUMAPagesTopology"),
    (
        "nova_gpu_passthrough.nova_rules.host_cell",
        "nova.virt.hardware:numa_usage_from_instance_numa",
    ),
    (
        "nova_gpu_passthrough.nova_rules.placement_extra_specs",
        "nova.scheduler.utils:ResourceRequest",
    ),
    (
        "nova_gpu_passthrough.nova_rules.resource_names",
        "nova.compute.pci_placement_translator:_normalize_resource_class",
    ),
    (
        "nova_gpu_passthrough.nova_rules.resource_names",
        "nova.compute.pci_placement_translator:get_resource_class",
    ),
    (
        "nova_gpu_passthrough.nova_rules.resource_names",
        "nova.compute.pci_placement_translator:_normalize_traits",
    ),
    (
        "nova_gpu_passthrough.nova_rules.server_fit",
        "placement.objects.allocation_candidate:AllocationCandidates.get_by_requests",
    ),
    (
        "nova_gpu_passthrough.nova_rules.server_fit",
        "nova.scheduler.manager:SchedulerManager.select_destinations",
    ),
    (
        "nova_gpu_passthrough.nova_rules.server_fit",
        "nova.scheduler.filters.numa_topology_filter:NUMATopologyFilter.host_passes",
    ),
    ("nova_gpu_passthrough.nova_rules.server_fit", "nova.pci.stats:PciDeviceStats._filter_pools"),
    ("nova_gpu_passthrough.nova_rules.server_fit", "nova.compute.claims:Claim._test_numa_topology"),
    (
        "nova_gpu_passthrough.scheduler.requests",
        "nova.objects.request_spec:RequestSpec.generate_request_groups_from_pci_requests",
    ),
    ("nova_gpu_passthrough.scheduler.pools", "nova.pci.stats:PciDeviceStats.pool_keys"),
    ("nova_gpu_passthrough.scheduler.assessment", "nova.virt.hardware:numa_fit_instance_to_host"),
    (
        "nova_gpu_passthrough.scheduler.host_snapshot",
        "nova.virt.hardware:numa_fit_instance_to_host",
    ),
    (
        "nova_gpu_passthrough.fleet.aliases",
        "nova.pci.stats:PciDeviceStats._filter_pools_for_unrequested_pfs",
    ),
    ("nova_gpu_passthrough.fleet.demand", "nova.scheduler.utils:ResourceRequest"),
    (
        "nova_gpu_passthrough.fleet.device_spec",
        "nova.compute.pci_placement_translator:PciResourceProvider.add_child",
    ),
    ("nova_gpu_passthrough.fleet.flavors.planning", "nova.virt.hardware:_pack_instance_onto_cores"),
    (
        "nova_gpu_passthrough.fleet.host_cells",
        "nova.virt.libvirt.driver:LibvirtDriver._get_host_numa_topology",
    ),
    (
        "nova_gpu_passthrough.fleet.host_cells",
        "nova.virt.libvirt.driver:LibvirtDriver._get_vcpu_available",
    ),
    (
        "nova_gpu_passthrough.fleet.host_cells",
        "nova.virt.libvirt.driver:LibvirtDriver._get_pcpu_available",
    ),
    ("nova_gpu_passthrough.fleet.limits", "nova.limit.placement:LEGACY_LIMITS"),
    ("nova_gpu_passthrough.fleet.limits", "nova.quota:UnifiedLimitsDriver"),
    ("nova_gpu_passthrough.fleet.limits", "nova.quota:DbQuotaDriver"),
    ("nova_gpu_passthrough.fleet.offers", "nova.pci.devspec:MAX_DOMAIN"),
    ("nova_gpu_passthrough.cloud.lint.configured_alias", "nova.pci.request:get_alias_from_config"),
    ("nova_gpu_passthrough.cloud.lint.configured_device_spec", "nova.pci.devspec:PciDeviceSpec"),
    (
        "nova_gpu_passthrough.cloud.lint.configured_device_spec",
        "nova.pci.whitelist:Whitelist.get_devspec",
    ),
    (
        "nova_gpu_passthrough.cloud.lint.checks.alias_syntax",
        "nova.pci.request:get_alias_from_config",
    ),
    (
        "nova_gpu_passthrough.cloud.lint.checks.device_spec_syntax",
        "nova.compute.pci_placement_translator:ensure_no_dev_spec_with_devname",
    ),
    (
        "nova_gpu_passthrough.cloud.lint.checks.device_spec_values",
        "nova.pci.whitelist:Whitelist.get_devspec",
    ),
    (
        "nova_gpu_passthrough.cloud.lint.checks.flavor_extra_specs",
        "placement.objects.allocation_candidate:_check_traits_for_alloc_request",
    ),
    (
        "nova_gpu_passthrough.cloud.lint.checks.placement_options",
        "placement.objects.allocation_candidate:_merge_candidates",
    ),
    ("nova_gpu_passthrough.cloud.lint.checks.quota", "nova.limit.utils:should_enforce"),
    ("nova_gpu_passthrough.simulator.nova.nova", "nova.weights:normalize"),
    (
        "nova_gpu_passthrough.simulator.nova.nova",
        "nova.weights:BaseWeightHandler.get_weighed_objects",
    ),
)
