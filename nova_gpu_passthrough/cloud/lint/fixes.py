# SPDX-License-Identifier: Apache-2.0
"""The scripts that fix findings of lint: of the cloud, of a service's files, of the fleet file.

They are for a machine of the operator with the fleet file, openstackclient with the role admin, and
access to the hosts over ssh as root.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nova_gpu_passthrough.cloud.lint.configuration.config_files import Assignment
from nova_gpu_passthrough.cloud.lint.configuration.services import ConfiguredService, ServiceRole
from nova_gpu_passthrough.fleet.offers import CONTROL
from nova_gpu_passthrough.fleet.settings import DeploymentTarget
from nova_gpu_passthrough.inventory import finding_groups
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.inventory.host import Distribution
from nova_gpu_passthrough.inventory.shell_fix import command, comment, follow_steps, script

#: Where scripts write generated files.
FOLDER = "gpu-config"
#: The generated files of the target plain have this in their names.
_GENERATED = "gpu-passthrough"
_KOLLA_CONFIG = "etc/kolla/config"
#: Prefix of unit names, by family of distributions.
_UNIT_PREFIXES = {Distribution.REDHAT: "openstack-", Distribution.SUSE: "openstack-"}
_PLACEMENT = "restart Placement (its web server, or placement-api)"
_DEVSTACK_UNITS = {
    ServiceRole.API: ("n-api",),
    ServiceRole.CONDUCTOR: ("n-cond-cell1", "n-super-cond"),
    ServiceRole.SCHEDULER: ("n-sch",),
    ServiceRole.COMPUTE: ("n-cpu",),
    ServiceRole.PLACEMENT: ("placement-api",),
}


@dataclass(frozen=True)
class Fixes:
    """Makes the scripts for one fleet."""

    fleet: Path
    target: DeploymentTarget
    #: Families of distributions by host; other hosts have the most frequent one.
    distributions: Mapping[str, Distribution | None] = field(default_factory=dict)
    #: Paths of inventory files by host.
    inventories: Mapping[str, Path] = field(default_factory=dict)
    #: The record that apply wrote, if it is not beside the fleet file.
    record: Path | None = None

    def apply(self, *options: str) -> str:
        """Return the command that applies the fleet file to the cloud."""
        record = ("--record", self.record) if self.record else ()
        return command("nova-gpu", "apply", "--fleet", self.fleet, *record, *options)

    def edit_fleet(self, change: str, *after: str) -> str:
        """Return how to change the fleet file.

        :param change: what to change in it: a clause, such as ``add it to settings.exclude``
        :param after: commands that apply the change; by default those of ``apply``
        """
        return script(
            comment(f"In {self.fleet}, {change}, then:"), *(after or (self.apply("--dry-run"),))
        )

    def show_flavors(self) -> str:
        """Return the command that shows which flavors fit on the fleet's hosts."""
        return command("nova-gpu", "flavor", "generate", "--fleet", self.fleet)

    def audit(self, host: str) -> str:
        """Return the script that audits a host and replaces its inventory, or adds one."""
        name = self.inventories.get(host, self.fleet.parent / f"{host}.yaml")
        remote = f"{host}.yaml"
        known = host in self.inventories
        return script(
            comment(
                f"Audit the host and {'replace its inventory' if known else 'fetch the file'}:"
            ),
            command(*_ssh(host), "nova-gpu", "host", "audit", "--write", remote, "--host", host),
            command("scp", f"root@{host}:{remote}", name),
        )

    def generate(self, service: ConfiguredService, *wrong: Assignment | None) -> str:
        """Return the script that replaces the configuration of a service by the generated files.

        :param wrong: assignments that the generated files replace: they remain in other files
        """
        return script(
            self.generate_on(service.host, service.roles),
            *(
                comment(
                    f"Remove {one.key} from {host_path(service, one.path)}: it stays in effect."
                )
                for one in wrong
                if one and self._stays(one)
            ),
        )

    def generate_on(self, host: str, roles: Iterable[ServiceRole] = (ServiceRole.COMPUTE,)) -> str:
        """Return the script that generates the files of services on a host and installs them."""
        generate, roles = self._generate(), tuple(roles)
        source = host if ServiceRole.COMPUTE in roles else CONTROL
        if self.target is DeploymentTarget.KOLLA:
            copy = command("cp", "-r", f"{FOLDER}/{CONTROL}/{_KOLLA_CONFIG}/.", f"/{_KOLLA_CONFIG}")
        elif self.target is DeploymentTarget.DEVSTACK:
            file = f"{FOLDER}/{source}/local.conf"
            return script(generate, comment(f"Append {file} to local.conf on {host}; stack again."))
        else:
            project = "placement" if ServiceRole.PLACEMENT in roles else "nova"
            copy = command("scp", "-r", f"{FOLDER}/{source}/etc/{project}", f"root@{host}:/etc/")
        restart = self._restart(host, roles) or comment(f"Then {_PLACEMENT} on {host}.")
        return script(generate, copy, restart)

    def generate_on_all(self, hosts: Iterable[str]) -> str:
        """Return the script that generates the files of nova-compute on hosts and installs them."""
        each = (
            Finding("", Severity.OK, f"host {host}", "", "", fix=self.generate_on(host))
            for host in hosts
        )
        return script(*(group.fix for group in finding_groups.merge(each)))

    def generate_host_files(self, host: str) -> str:
        """Return the script that generates all files of a compute host, those of its kernel too."""
        return script(self._generate(), *follow_steps(f"{FOLDER}/{host}"))

    def _generate(self) -> str:
        return command("nova-gpu", "config", "generate", "--fleet", self.fleet, "--write", FOLDER)

    def set_option(
        self,
        service: ConfiguredService,
        section: str,
        name: str,
        *values: str,
        roles: Iterable[ServiceRole] = (),
    ) -> str:
        """Return how to set an option of a service in its file.

        :param values: more than one only for an option that may be repeated
        :param roles: those of the service's roles that read the option; by default all
        """
        assignment = service.configuration.last(section, name)
        path = assignment.path if assignment else None
        change = " and ".join(f"{name} = {value}" for value in values)
        return self.edit_file(service, path, f"set [{section}] {change}", roles)

    def edit_file(
        self,
        service: ConfiguredService,
        path: Path | None,
        change: str,
        roles: Iterable[ServiceRole] = (),
    ) -> str:
        """Return how to change a file of a service.

        :param path: None: the last file of the service that is not generated
        :param change: a clause, such as ``remove the line``
        """
        path = path or next(filter(_is_own, reversed(service.configuration.files)), None)
        file = host_path(service, path) if path else "nova.conf"
        chosen = tuple(roles) or service.roles
        where = f"On {service.host}, in {file}, {change}; then"
        restart = self._restart(service.host, [role for role in service.roles if role in chosen])
        return script(comment(f"{where}:"), restart) if restart else f"{where} {_PLACEMENT}."

    def restart_compute(self, host: str) -> str:
        """Return the command that restarts nova-compute, whose files are not changed."""
        if self.target is DeploymentTarget.KOLLA:
            return command(*_ssh(host), "docker", "restart", "nova_compute")
        return self._restart(host, (ServiceRole.COMPUTE,))

    def _restart(self, host: str, roles: Iterable[ServiceRole]) -> str:
        """Return the command that restarts services; empty if their unit is not known."""
        roles = tuple(roles)
        if self.target is DeploymentTarget.KOLLA:
            tag = "placement" if ServiceRole.PLACEMENT in roles else "nova"
            words = ("-i", "INVENTORY", "--tags", tag, "--limit", host)
            return command("kolla-ansible", "reconfigure", *words)
        if self.target is DeploymentTarget.DEVSTACK:
            units = [f"devstack@{unit}" for role in roles for unit in _DEVSTACK_UNITS[role]]
            return command("ssh", host, "sudo", "systemctl", "restart", *units)
        if ServiceRole.PLACEMENT in roles:
            return ""
        prefix = self._unit_prefix(host)
        return command(*_ssh(host), "systemctl", "restart", *(f"{prefix}{role}" for role in roles))

    def _unit_prefix(self, host: str) -> str:
        family = self.distributions.get(host)
        if family is None:
            known = sorted(one for one in self.distributions.values() if one)
            family = max(known, key=known.count) if known else None
        return _UNIT_PREFIXES.get(family, "") if family else ""

    def _stays(self, assignment: Assignment) -> bool:
        """Return whether an assignment remains in effect beside the generated files."""
        return self.target is DeploymentTarget.PLAIN and _is_own(assignment.path)


def _is_own(path: Path) -> bool:
    """Return whether a file is the operator's and not a generated one."""
    return _GENERATED not in path.name


def host_path(service: ConfiguredService, path: Path) -> str:
    """Return the path of a file on the service's host, as far as a copy's path shows it.

    Below ``--config DIR/HOST/etc`` it is the path below ``/etc``; for a process in a container the
    path in the container.
    """
    parts = path.parts
    if "etc" in parts and (service.host in parts or parts[1:2] == ("proc",)):
        below = parts[len(parts) - parts[::-1].index("etc") - 1 :]
        return str(Path("/", *below))
    return str(path)


def _ssh(host: str) -> tuple[str, ...]:
    return "ssh", f"root@{host}"
