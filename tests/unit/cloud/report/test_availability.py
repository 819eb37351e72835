# SPDX-License-Identifier: Apache-2.0
"""The public document of what is free: written, embedded into a page, and read."""

import dataclasses
import json

import jsonschema
import pytest

from nova_gpu_passthrough.cloud.fit.capacity import FlavorCapacity
from nova_gpu_passthrough.cloud.report import availability, redaction
from nova_gpu_passthrough.cloud.report.availability import ModelAvailability
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import documents
from tests.unit.cloud.report import fleets


@pytest.fixture
def built():
    return availability.build(fleets.four())


def test_models_and_flavors(built):
    assert built.taken_at == fleets.TAKEN_AT
    assert built.models == (
        ModelAvailability("H100-SXM", 16, 5, 4),
        ModelAvailability("L40S", 4, 3, 0),
    )
    first = built.of_flavor("id-gpu.h100.1")
    assert (first.name, first.gpus, first.servers, first.exact) == ("gpu.h100.1", 1, 4, True)
    assert (first.vcpus, first.ram_mib, first.model) == (15, 120 * 1024, "H100-SXM")
    assert not built.of_flavor("id-gpu.l40s.1").exact
    assert built.of_flavor("id-of-another") is None


@pytest.mark.parametrize(
    ("projects", "servers", "reserved"),
    [
        # A public flavor, and one for another project, too.
        (None, 1, 3),
        (("p1", "p2"), 1, 3),
        (("p1",), 4, 0),
    ],
)
def test_servers_on_hosts_of_some_projects_are_counted_apart(projects, servers, reserved):
    """Not for those who alone may use the flavor and the hosts."""
    view = fleets.view(
        fleets.hgx("a", aggregates={"x": {"filter_tenant_id": "p1"}}), fleets.hgx("b")
    )
    counted = FlavorCapacity("f", 1, "H100-SXM", 4, {"a": 3, "b": 1})
    flavor = dataclasses.replace(fleets.cloud_flavors([counted])[0], projects=projects)
    snapshot = fleets.snapshot(view, [counted])
    view = dataclasses.replace(snapshot.view, flavors=(flavor,))
    snapshot = dataclasses.replace(snapshot, view=view)
    found = availability.build(snapshot).of_flavor(flavor.id)
    assert (found.servers, found.reserved_servers) == (servers, reserved)
    (public,) = redaction.redact(snapshot).capacity.flavors
    assert public.servers == sum(public.by_host.values()) == servers


def test_private_flavors_are_recognized_only_by_their_id(built):
    assert built.of_flavor("id-gpu.h100.2").servers == 1
    assert built.of_flavor("id-gpu.h100.2").name is None
    text = availability.dump(built)
    assert "gpu.h100.1" in text
    assert "gpu.h100.2" not in text
    assert "id-" not in text


def test_a_document_names_no_host_server_project_or_fleet(built):
    text = availability.dump(built)
    secrets = ("gpu01", "cpu01", "train-1", "too-big", "render", "p1", "research", "paris", "prod")
    assert [secret for secret in secrets if secret in text] == []


def test_what_is_written_matches_the_schema_and_is_read(built):
    rules = documents.schema("nova_gpu_passthrough.cloud.report", "availability-v1.json")
    jsonschema.Draft202012Validator.check_schema(rules)
    document = json.loads(availability.dump(built))
    jsonschema.validate(document, rules)
    for name, kind in rules["$defs"].items():
        if "properties" in kind:
            fields = getattr(availability, name).__dataclass_fields__
            assert set(kind["properties"]) == set(kind["required"]) == set(fields)
    assert availability.parse(availability.dump(built), "x.json") == built


def test_a_page_has_the_document_whatever_names_are_in_it():
    found = fleets.four()
    flavor = found.capacity.flavors[0]
    telling = flavor.__class__("</script><!-- &amp;", 1, "H100-SXM", 3)
    built = availability.build(fleets.snapshot(found.view, [telling]))
    element = f'<script type="application/json" id="availability">{availability.embed(built)}'
    page = f"<!DOCTYPE html><p>x</p>{element}</script><script>other()</script>"
    assert page.count("</script>") == 2
    assert availability.parse(page, "x.html") == built


def test_without_a_fleet_file_flavors_are_not_known():
    found = fleets.four()
    without = found.__class__(found.view, fleets.capacity(found.view), counted=False)
    built = availability.build(without)
    assert built.flavors is None
    assert availability.parse(availability.dump(built), "x.json") == built
    assert built.of_flavor("id-gpu.h100.1") is None


def test_keys_of_a_later_minor_change_are_ignored(built):
    document = json.loads(availability.dump(built))
    document["new"] = 1
    document["flavors"][0]["new"] = 1
    assert availability.parse(json.dumps(document), "x.json") == built


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "no JSON document of what is free; expected the page or the JSON file that"),
        ("<html>not found</html>", "no JSON document of what is free"),
        ("{", "no JSON document"),
        ("[1]", "must be a mapping of keys to values, not [1]; expected the page"),
        ("{}", "there is no key"),
        (
            '{"schema": "nova-gpu-passthrough/availability", "version": 2}',
            "version 2 of the document, and this nova-gpu reads only version 1: install a newer",
        ),
        ("[" * 100_000, "no JSON document"),
    ],
)
def test_other_texts_are_refused_in_one_sentence(text, message):
    with pytest.raises(UserError) as caught:
        availability.parse(text, "https://gpus.example/x.html")
    assert message in str(caught.value)
    assert str(caught.value).startswith("https://gpus.example/x.html: ")
    assert "\n" not in str(caught.value)


def test_a_wrong_value_is_named(built):
    document = json.loads(availability.dump(built))
    document["models"][1]["free"] = -1
    with pytest.raises(UserError, match=r"key models\[1\]\.free: must be at least 0, not -1"):
        availability.parse(json.dumps(document), "x.json")
