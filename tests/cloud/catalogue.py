# SPDX-License-Identifier: Apache-2.0
"""The content of Keystone: services and their endpoints, projects, users, default limits."""

from __future__ import annotations

from pathlib import Path

import openstack
import yaml

from tests.cloud import database
from tests.cloud.site import PASSWORD, REGION, Site

#: Type: name, and the path of its endpoint.
SERVICES = {
    "placement": ("placement", ""),
    "image": ("glance", ""),
    "network": ("neutron", ""),
    "compute": ("nova", "/v2.1"),
}
#: By name of the cloud in clouds.yaml, which is also the user: project, role.
CLOUDS = {
    "admin": ("admin", "admin"),
    "tenant": ("research", "member"),
    "other": ("training", "member"),
    "reader": ("admin", "reader"),
}
#: With UnifiedLimitsDriver, Nova refuses a resource without a registered limit if it is in
#: ``[quota] unified_limits_resource_list`` (``servers`` by default; nova/limit/utils.py), and does
#: not limit it otherwise. All resources of Nova have one here, so that project limits can be set.
LIMITS = {
    "servers": 200,
    "class:VCPU": 4000,
    "class:PCPU": 4000,
    "class:MEMORY_MB": 64 * 1024 * 1024,
    "class:DISK_GB": 64 * 1024,
    "server_metadata_items": 128,
    "server_injected_files": 5,
    "server_injected_file_content_bytes": 10240,
    "server_injected_file_path_bytes": 255,
    "server_key_pairs": 100,
    "server_groups": 10,
    "server_group_members": 10,
}


def create(site: Site) -> str:
    """Fill a Keystone that was only bootstrapped.

    :returns: the id of Nova's public endpoint
    """
    with openstack.connect(
        auth={"auth_url": site.auth_url, "username": "admin", "password": PASSWORD,
              "project_name": "admin", "user_domain_name": "Default",
              "project_domain_name": "Default"},
        region_name=REGION, load_envvars=False, load_yaml_config=False,
    ) as cloud:  # fmt: skip
        identity = cloud.identity
        roles = {role.name: role.id for role in identity.roles()}
        projects = {project.name: project.id for project in identity.projects()}
        for name in ("service", "research", "training"):
            projects[name] = identity.create_project(name=name, domain_id="default").id
        users = {user.name: user.id for user in identity.users()}

        def user(name: str) -> str:
            if name not in users:
                users[name] = identity.create_user(
                    name=name, password=PASSWORD, domain_id="default"
                ).id
            return users[name]

        def grant(project: str, name: str, role: str) -> None:
            identity.assign_project_role_to_user(projects[project], user(name), roles[role])

        for name in ("nova", "placement", "glance", "neutron"):
            grant("service", name, "admin")
            grant("service", name, "service")
        identity.assign_system_role_to_user(user("nova"), roles["reader"], "all")
        for name, (project, role) in CLOUDS.items():
            grant(project, name, role)
        for kind, (name, path) in SERVICES.items():
            service = identity.create_service(type=kind, name=name)
            endpoints = {
                interface: identity.create_endpoint(
                    service_id=service.id,
                    interface=interface,
                    region_id=REGION,
                    url=site.url(kind, path),
                ).id
                for interface in ("public", "internal")
            }
            if kind == "compute":
                compute = endpoints["public"]
                for resource, default in LIMITS.items():
                    identity.create_registered_limit(
                        service_id=service.id,
                        region_id=REGION,
                        resource_name=resource,
                        default_limit=default,
                    )
        return compute


def move(site: Site) -> None:
    """Replace the endpoints in a restored catalogue with this site's, before Keystone starts."""
    urls = {kind: site.url(kind, path) for kind, (_, path) in SERVICES.items()}
    urls["identity"] = site.auth_url
    with database.cursor(site.ports["mariadb"], "keystone") as cursor:
        for kind, url in urls.items():
            cursor.execute(
                "UPDATE endpoint, service SET endpoint.url = %s"
                " WHERE endpoint.service_id = service.id AND service.type = %s",
                (url, kind),
            )


def write_clouds(site: Site) -> Path:
    """Write clouds.yaml."""
    clouds = {
        name: {
            "auth": {
                "auth_url": site.auth_url,
                "username": name,
                "password": PASSWORD,
                "project_name": project,
                "user_domain_name": "Default",
                "project_domain_name": "Default",
            },
            "region_name": REGION,
        }
        for name, (project, _) in CLOUDS.items()
    }
    path = site.directory / "clouds.yaml"
    path.write_text(yaml.safe_dump({"clouds": clouds}, sort_keys=False))
    return path
