# SPDX-License-Identifier: Apache-2.0
"""Extra specs in nova-api; invalid options and invalid requests in nova-scheduler."""

from __future__ import annotations

from nova.tests.functional.api import client

from tests.embedded.cloud import EmbeddedCloud
from tests.embedded.fleet import hgx_host
from tests.functional.base import GpuCloudTest


class ExtraSpecs(GpuCloudTest):
    hosts = (hgx_host("hgx1"),)

    def add(self, microversion: str = "2.86", **extra_specs: str) -> None:
        specs = {key.replace("__", ":"): value for key, value in extra_specs.items()}
        api = self.cloud.nova.api
        before, api.microversion = api.microversion, microversion
        try:
            api.post_extra_spec("plain", {"extra_specs": specs})
        finally:
            api.microversion = before

    def test_validation(self) -> None:
        self.cloud.create_flavor("plain")
        for specs in (
            {"gpu__link": "required", "gpu__switch": "none", "gpu__numa": "preferred"},
            {"gpu__companions": "false"},
        ):
            self.add(**specs)
        for specs, text in (
            ({"gpu__link": "always"}, "'always' is not one of: required, preferred, none"),
            ({"gpu__numa": "none"}, "'none' is not one of: required, preferred"),
            ({"gpu__companions": "perhaps"}, "'perhaps' is not a valid boolean-like value"),
            ({"gpu__lnik": "required"}, "extra spec 'gpu:lnik' does not appear to be a valid"),
        ):
            with (
                self.subTest(**specs),
                self.assertRaises(client.OpenStackApiException) as caught,
            ):
                self.add(**specs)
            self.assertEqual(400, caught.exception.response.status_code)
            self.assertIn(text, str(caught.exception))

    def test_the_scheduler_refuses_extra_specs_not_validated_by_an_old_microversion(self) -> None:
        flavor = self.cloud.create_flavor("h100", gpus={"h100": 1})
        api = self.cloud.nova.api
        before, api.microversion = api.microversion, "2.85"
        api.post_extra_spec(flavor, {"extra_specs": {"gpu:link": "always"}})
        api.microversion = before
        (server,) = self.cloud.boot(flavor, expect="ERROR")
        (line,) = self.cloud.log_lines(containing=server["id"], logger="nova_gpu_passthrough")
        self.assertIn("0 of 1 hosts fit; refused: 1 invalid request", line.message)
        (line,) = self.cloud.log_lines("DEBUG", containing="is 'always', expected one of")
        self.assertEqual([], self.cloud.held_devices())


class InvalidRequests(GpuCloudTest):
    options = {
        "aliases": [
            {"name": "h100", "vendor_id": "10de", "product_id": "2330"},
            {"name": "b200", "vendor_id": "10de", "product_id": "2901"},
        ]
    }

    def test_invalid_requests_claim_nothing_and_raise_nothing(self) -> None:
        for in_placement in (True, False):
            cloud = self.start_cloud([hgx_host("hgx1")], pci_in_placement=in_placement)
            for alias, count, text in (
                ("b200", 1, "1 no free GPU of that kind"),
                ("h100", 0, "1 invalid request"),
                ("h100", 9, "1 too few free GPUs"),
                ("h100", 65, "1 invalid request"),
            ):
                with self.subTest(alias=alias, count=count, pci_in_placement=in_placement):
                    flavor = cloud.create_flavor(f"{alias}-{count}", gpus={alias: count})
                    (server,) = cloud.boot(flavor, expect="ERROR")
                    self.assertIn("No valid host was found", server["fault"]["message"])
                    # With PCI in Placement, requests that Placement cannot serve reach no filter.
                    if count == 0 or not in_placement:
                        lines = cloud.log_lines(
                            containing=server["id"], logger="nova_gpu_passthrough"
                        )
                        self.assertIn(text, lines[-1].message)
                    self.assertEqual({}, cloud.placement_allocations(server))
            self.assertEqual([], cloud.held_devices())
            self.assertEqual([], cloud.log_lines("ERROR", logger="nova_gpu_passthrough"))
            self.doCleanups()


class Options(GpuCloudTest):
    def test_an_invalid_value_stops_the_scheduler_with_one_line(self) -> None:
        for option, value, text in (
            (
                "policy",
                "packed",
                "policy 'packed' is not installed, expected one of: fragmentation, pack, spread",
            ),
            ("aliases", ["h100", ""], "with an empty item, expected comma-separated names"),
        ):
            with self.subTest(option=option):
                cloud = EmbeddedCloud(
                    [hgx_host("hgx1")], config={("gpu_passthrough", option): value}
                )
                with self.assertRaises(SystemExit):
                    cloud.start()
                (line,) = cloud.log_lines("CRITICAL")
                self.assertIn("[gpu_passthrough]", line.message)
                self.assertIn(text, line.message)
